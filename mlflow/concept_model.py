"""A concept model as the registry keeps it: MLflow executes this file when it loads a version, on any machine.

The version holds what differs from the base model (one embedding, the changed weights) and the code that draws with
them; `model` below is the copy inside the version. The base is found where the training found it, or where the
environment variable CONCEPTBOOTH_BASE says (a folder), and must be the base of the training, byte for byte.

    model = mlflow.pyfunc.load_model("models:/concept.turtle@candidate")
    table = model.predict([{"prompt": "a watercolor of a {} in the snow", "n": 4, "seed": 7}])
    png = base64.b64decode(table.image[0])

Every picture says that an AI made it, and from what (`model/marks/marking.py`); where CONCEPTBOOTH_C2PA_KEY and
CONCEPTBOOTH_C2PA_CERTIFICATES name a key and its certificates, that is signed.
"""

import base64
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

MOST_PICTURES = 64
"""Pictures of one row: a service must not be busy for hours with one request."""


class ConceptModel(PythonModel):
    """Draws a concept in new scenes."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the base and the concept's weights.

        Raises:
            MlflowException: the base is not to be found, or is another one than that of the training; a key is named
                that does not sign pictures.
        """
        # torch and the model's code are imported here: registering a version executes this file and needs neither.
        from model.bases.base import load_base
        from model.bases.recorded_base import find_recorded_base
        from model.errors import InputError
        from model.marks.content_credentials import CERTIFICATES_VARIABLE, KEY_VARIABLE, open_signer
        from model.runtime.device import open_device
        from model.weights.concept import ConceptWeights

        facts = json.loads(Path(context.artifacts["facts"]).read_text(encoding="utf-8"))
        self._autocast = facts["autocast"]
        self._made_by = {"concept": facts["concept"], "content": facts["key"], "version": None}
        try:
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

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Pictures for each row.

        Columns: `prompt` holds one {} where the concept stands; `n` pictures, 1 if there is no such column; `seed`, 0
        if there is no such column: the same seed draws the same pictures. `params`: guidance_scale,
        num_inference_steps; those of the training's evaluation by default. Returns one row a picture: prompt as the
        model read it, seed, index, image (PNG, base64).

        Raises:
            MlflowException: a prompt without {}, with two or longer than the base reads; numbers out of range.
        """
        from model.bases.tokens import tokenize
        from model.drawing.sample import generate
        from model.drawing.sampling_options import Sampling
        from model.errors import InputError
        from model.marks.marking import Mark, marked_png

        requests = [_request(row) for row in model_input.to_dict("records")]
        rows = []
        try:
            texts = [self._concept.prompt.fill(prompt) for prompt, _, _ in requests]
            for text in texts:  # all are looked at before the first is drawn
                tokenize(self._base.tokenizers, text, self._concept.prompt)
            for text, (prompt, count, seed) in zip(texts, requests, strict=True):
                sampling = Sampling(seed=seed, **(params or {}))
                (pictures,) = generate(self._base, self._concept, [text], count, sampling, autocast=self._autocast)
                for index, picture in enumerate(pictures):
                    mark = Mark(**self._made_by, prompt=prompt, text=text, seed=seed, index=index)
                    png = marked_png(picture, mark)
                    signed = self._signer.signed(png, mark) if self._signer else png
                    rows.append((text, seed, index, base64.b64encode(signed).decode("ascii")))
        except InputError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return pd.DataFrame(rows, columns=["prompt", "seed", "index", "image"])


def _request(row: dict[str, Any]) -> tuple[str, int, int]:
    count = int(row.get("n", 1))
    if not 1 <= count <= MOST_PICTURES:
        raise MlflowException.invalid_parameter_value(f"n = {count}: 1 to {MOST_PICTURES} pictures a row")
    return row["prompt"], count, int(row.get("seed", 0))


def _file_in(variable: str) -> Path | None:
    return Path(os.environ[variable]).expanduser() if os.environ.get(variable) else None


set_model(ConceptModel())
