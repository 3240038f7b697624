"""The sample concepts that come with the project: dvc.yaml makes their images, dvc.lock says what came out."""

from model.errors import InputError
from tasks.dvc.folder_hash import path_digest
from tasks.files.names import ImproperName, path_inside
from tasks.files.yaml_files import read_yaml
from tasks.project.settings import Settings


def is_sample(settings: Settings, name: str) -> bool:
    """Whether params.yaml names a concept as one that comes with the project, whatever else may be wrong there."""
    try:
        content = read_yaml(settings.params_file, settings.params_file.name)
    except InputError:
        return False
    samples = content.get("samples") if isinstance(content, dict) else None
    return isinstance(samples, list) and name in samples


def sample_is_current(settings: Settings, name: str) -> bool:
    """Whether a sample's images, and what they are made from, are what dvc.lock says.

    Takes milliseconds where DVC takes a second to start.

    Raises:
        InputError: dvc.lock is not readable.
    """
    lock = settings.root / "dvc.lock"
    content = read_yaml(lock, lock.name) if lock.exists() else None
    stages = content.get("stages") if isinstance(content, dict) else None
    stage = stages.get(f"samples@{name}") if isinstance(stages, dict) else None
    if not isinstance(stage, dict):
        return False
    parts = [*stage.get("deps", []), *stage.get("outs", [])]
    try:
        return all(path_digest(path_inside(settings.root, part.get("path"))) == part.get("md5") for part in parts)
    except ImproperName:  # of a file elsewhere, which DVC may know and this does not read
        return False
