"""A concept model as the registry keeps it: MLflow executes this file when it loads a version, on any machine.

The version holds what differs from the base model (one embedding, the changed weights) and the code that draws with
them; `model` below is the copy inside the version. The base is found where the training found it, or where the
environment variable CONCEPTBOOTH_BASE says (a folder), and must be the base of the training, byte for byte.

    model = mlflow.pyfunc.load_model("models:/concept.turtle@candidate")
    table = model.predict([{"prompt": "a watercolor of a {} in the snow", "n": 4, "seed": 7}])
    png = base64.b64decode(table.image[0])
"""

import base64
import hashlib
import io
import json
import os
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
            MlflowException: the base is not to be found, or is another one than that of the training.
        """
        # torch and the model's code are imported here: registering a version executes this file and needs neither.
        from model.base import load_base
        from model.device import numeric_policy, open_device
        from model.errors import InputError
        from model.weights import ConceptWeights

        facts = json.loads(Path(context.artifacts["facts"]).read_text(encoding="utf-8"))
        reference, revision = find_base(facts["base"])
        try:
            wanted = os.environ.get("CONCEPTBOOTH_DEVICE", "auto")
            self._autocast = numeric_policy(wanted)["autocast"]
            self._base = load_base(reference, revision, device=open_device(wanted))
            self._weights = ConceptWeights.load(Path(context.artifacts["weights"]))
        except InputError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error

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
        from model.errors import InputError
        from model.sample import generate
        from model.sampling_options import Sampling

        requests = [_request(row) for row in model_input.to_dict("records")]
        rows = []
        try:
            texts = [self._weights.prompt.fill(prompt) for prompt, _, _ in requests]
            for text in texts:
                self._base.check_prompt(text)
            for text, (_, count, seed) in zip(texts, requests, strict=True):
                sampling = Sampling(seed=seed, **(params or {}))
                if sampling.problems():
                    raise InputError(*sampling.problems())
                (pictures,) = generate(self._base, self._weights, [text], count, sampling, autocast=self._autocast)
                rows += [(text, seed, index, _png(picture)) for index, picture in enumerate(pictures)]
        except InputError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return pd.DataFrame(rows, columns=["prompt", "seed", "index", "image"])


def find_base(base: dict[str, Any]) -> tuple[str, str | None]:
    """Folder, or hub id and commit, of the recorded base; its files are compared with the record.

    Raises:
        MlflowException: no base there, or its files differ.
    """
    named = os.environ.get("CONCEPTBOOTH_BASE")
    if named is None and base["revision"] is not None:
        return base["reference"], base["revision"]
    folder = Path(named or base["folder"]).expanduser()
    way_out = f"set CONCEPTBOOTH_BASE to a folder that holds the base model '{base['reference']}' of this training"
    if not folder.is_dir():
        raise MlflowException.invalid_parameter_value(f"base model {folder}: no such folder; {way_out}")
    if not base["files"]:
        raise MlflowException.invalid_parameter_value(
            f"base model {folder}: the training recorded no digests to compare it with; unset CONCEPTBOOTH_BASE"
        )
    differing = [name for name, sha256 in base["files"].items() if _sha256(folder / name) != sha256]
    if differing:
        shown = ", ".join(differing[:3]) + (", ..." if len(differing) > 3 else "")
        raise MlflowException.invalid_parameter_value(
            f"base model {folder}: not the one of this training, {len(differing)} of {len(base['files'])} files "
            f"differ or are missing ({shown}); {way_out}"
        )
    return str(folder), None


def _sha256(file: Path) -> str | None:
    if not file.is_file():
        return None
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _request(row: dict[str, Any]) -> tuple[str, int, int]:
    count = int(row.get("n", 1))
    if not 1 <= count <= MOST_PICTURES:
        raise MlflowException.invalid_parameter_value(f"n = {count}: 1 to {MOST_PICTURES} pictures a row")
    return row["prompt"], count, int(row.get("seed", 0))


def _png(picture: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


set_model(ConceptModel())
