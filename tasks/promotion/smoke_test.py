"""The last proof before a version serves: a fresh process loads it from the registry and draws a picture."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten

from model.errors import WorkFailed
from model.reading.pictures import OURS, open_picture
from tasks.project.settings import PREFIX, Settings, environment
from tasks.registry.programs import program

MOST_SECONDS = 1800
_SHOWN_LETTERS = 600


class DoesNotLoad(WorkFailed):
    """A version from which no fresh process can draw."""


def smoke_test(settings: Settings, name: str, version: int, files: Mapping[str, str]) -> tuple[int, int]:
    """Width and height of the picture that the version draws. Raises DoesNotLoad where it does not.

    `files` is what its package has to hold, sha256 by path: that process hashes all of it before any of it runs.
    """
    said = f"{name} version {version} does not load in a fresh process"
    with TemporaryDirectory() as folder:
        picture, listing = Path(folder) / "picture.png", Path(folder) / "files.json"
        listing.write_text(json.dumps(dict(files)), encoding="utf-8")
        # -P: neither this checkout nor the folder of the program may stand in for what the version brings along
        registry, model = settings.production_tracking_uri, f"models:/{name}/{version}"
        command = [sys.executable, "-P", str(program("try_version.py")), registry, model, str(picture), str(listing)]
        variables = os.environ | environment(settings) | {f"{PREFIX}DEVICE": settings.device}
        # where the base is, should its folder hold another one by now
        variables |= {
            f"{PREFIX}STORE": str(settings.store),
            f"{PREFIX}PRODUCTION_STORE": str(settings.production_store),
        }
        variables["PYTHONDONTWRITEBYTECODE"] = "1"
        try:
            done = subprocess.run(
                command, cwd=folder, env=variables, capture_output=True, text=True, timeout=MOST_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise DoesNotLoad(f"{said}: it did not draw a picture within {MOST_SECONDS} s") from error
        if done.returncode != 0:
            last = " / ".join(done.stderr.strip().splitlines()[-3:])
            raise DoesNotLoad(f"{said}: {shorten(last, _SHOWN_LETTERS) or f'it ended with {done.returncode}'}")
        try:
            with open_picture(picture, OURS) as image:
                image.load()
                return image.size
        except OSError as error:
            raise DoesNotLoad(f"{said}: what it drew is no picture: {error}") from error
