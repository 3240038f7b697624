"""A concept model as the registry keeps it: MLflow executes this file when it loads a version, on any machine.

The version holds what differs from the base model (one embedding, the changed weights) and the code that draws with
them; `model` below is the copy inside the version. The base is found where the training found it, or where the
environment variable CONCEPTBOOTH_BASE says (a folder), and must be the base of the training, byte for byte. One loaded
model may be asked by any number of threads at once: no request changes what another reads.

    model = mlflow.pyfunc.load_model("models:/concept.turtle@candidate")
    table = model.predict([{"prompt": "a watercolor of a {} in the snow", "n": 4, "seed": 7}])
    png = base64.b64decode(table.image[0])

Every picture says that an AI made it, and from what (`model/marks/marking.py`); where CONCEPTBOOTH_C2PA_KEY and
CONCEPTBOOTH_C2PA_CERTIFICATES name a key and its certificates, that is signed.
"""

import base64
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

SERVER = "mlflow.pyfunc.scoring_server.app"
"""The module that is being imported where `mlflow models serve` loads a model."""


class ConceptModel(PythonModel):
    """Draws a concept in new scenes."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the base and the concept's weights.

        Raises:
            MlflowException: the base is not to be found, or is another one than that of the training; a key is named
                that does not sign pictures; a bound of requests is none.
        """
        # torch and the model's code are imported here: registering a version executes this file and needs neither.
        from model.bases.base import load_base
        from model.bases.recorded_base import find_recorded_base
        from model.errors import InputError
        from model.marks.content_credentials import CERTIFICATES_VARIABLE, KEY_VARIABLE, open_signer
        from model.runtime.device import open_device
        from model.serving.clients import watch_clients
        from model.serving.requests import Bounds
        from model.weights.concept import ConceptWeights

        facts = json.loads(Path(context.artifacts["facts"]).read_text(encoding="utf-8"))
        self._autocast = facts["autocast"]
        self._made_by = {"concept": facts["concept"], "content": facts["key"], "version": None}
        try:
            self._bounds = Bounds.of(os.environ)
            self._signer = open_signer(_file_in(KEY_VARIABLE), _file_in(CERTIFICATES_VARIABLE))
            reference, revision = find_recorded_base(facts["base"], Path(facts["base"]["folder"]))
            device = open_device(os.environ.get("CONCEPTBOOTH_DEVICE", "auto"))
            self._base = load_base(reference, revision, device=device)
            weights = ConceptWeights.load(Path(context.artifacts["weights"]))
            # This base serves this concept alone: it stays changed, instead of anew for every picture.
            weights.put_into(self._base)
        except InputError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        self._concept = replace(weights, unet={}, text={}, lora={})
        if SERVER in sys.modules:
            watch_clients(self._bounds.bytes)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Pictures for each row.

        Columns: `prompt` holds one {} where the concept stands; `n` pictures, 1 where a row says nothing; `seed`, 0
        where a row says nothing: the same seed draws the same pictures. `params`: guidance_scale, num_inference_steps;
        those of the training's evaluation by default. Returns one row a picture: prompt as the model read it, seed,
        index, image (PNG, base64).

        Raises:
            MlflowException: a prompt without {}, with two or longer than the base reads; numbers out of range; more
                than the bounds of a request (docs/serving.md); the client has gone.
        """
        from model.bases.tokens import tokenize
        from model.drawing.sample import generate
        from model.errors import InputError
        from model.marks.marking import Mark, marked_png
        from model.serving.clients import ClientGone, check_client
        from model.serving.requests import read_requests

        rows = []
        try:
            requests = read_requests(model_input.to_dict("records"), params, self._bounds)
            texts = [self._concept.prompt.fill(request.prompt) for request in requests]
            for text in texts:  # all are looked at before the first is drawn
                tokenize(self._base.tokenizers, text, self._concept.prompt)
            for text, request in zip(texts, requests, strict=True):
                (pictures,) = generate(
                    self._base,
                    self._concept,
                    [text],
                    request.count,
                    request.sampling,
                    autocast=self._autocast,
                    before_step=check_client,
                )
                seed = request.sampling.seed
                for index, picture in enumerate(pictures):
                    mark = Mark(**self._made_by, prompt=request.prompt, text=text, seed=seed, index=index)
                    png = marked_png(picture, mark)
                    signed = self._signer.signed(png, mark) if self._signer else png
                    rows.append((text, seed, index, base64.b64encode(signed).decode("ascii")))
        except InputError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        except ClientGone as error:
            raise MlflowException("nobody waits for these pictures any more, so they were not drawn") from error
        return pd.DataFrame(rows, columns=["prompt", "seed", "index", "image"])


def _file_in(variable: str) -> Path | None:
    return Path(os.environ[variable]).expanduser() if os.environ.get(variable) else None


set_model(ConceptModel())
