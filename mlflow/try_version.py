"""Draws one picture with a registered version, in a process that knows nothing but MLflow; executed by path.

python -P try_version.py REGISTRY MODEL_URI PICTURE FILES

FILES is a JSON file: the sha256 of every file that the version has to hold, by path. They are hashed in this process,
in a copy that nobody else knows, before MLflow runs the first of them; beside a file that is not listed nothing is run.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import mlflow.artifacts
import mlflow.pyfunc

NOTE = "registered_model_meta"
"""What MLflow writes into each copy that it makes; of a copy it is read by nobody."""


def check(package: Path, wanted: dict[str, str]) -> None:
    """End the process unless a folder holds these files and no others."""
    (package / NOTE).unlink(missing_ok=True)
    there = {path.relative_to(package).as_posix(): path for path in package.rglob("*") if not path.is_dir()}
    found = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in there.items()}
    if differing := sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)):
        sys.exit(f"not what was released, so nothing of it was run: {', '.join(map(ascii, differing[:5]))}")


registry, uri, picture, files = sys.argv[1:]
mlflow.set_tracking_uri(registry)
mlflow.set_registry_uri(registry)
# Out of a folder MLflow loads in place and writes a note into it; a trial leaves the release as it was signed.
with TemporaryDirectory() as copy:
    package = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=copy))
    check(package, json.loads(Path(files).read_text(encoding="utf-8")))
    loaded = mlflow.pyfunc.load_model(str(package))
    table = loaded.predict([{"prompt": "a photo of a {}", "n": 1, "seed": 0}])
Path(picture).write_bytes(base64.b64decode(table["image"][0], validate=True))
