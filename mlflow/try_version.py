"""Draws one picture with a registered version, in a process that knows nothing but MLflow; executed by path.

python -P try_version.py REGISTRY MODEL_URI PICTURE
"""

import base64
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import mlflow.pyfunc

registry, uri, picture = sys.argv[1:]
mlflow.set_tracking_uri(registry)
mlflow.set_registry_uri(registry)
# Out of a folder MLflow loads in place and writes a note into it; a trial leaves the release as it was signed.
with TemporaryDirectory() as copy:
    loaded = mlflow.pyfunc.load_model(uri, dst_path=copy)
    table = loaded.predict([{"prompt": "a photo of a {}", "n": 1, "seed": 0}])
Path(picture).write_bytes(base64.b64decode(table["image"][0], validate=True))
