"""Commits of hub models written into params.yaml, whose comments and order stay as they are."""

import re
import tempfile
from pathlib import Path

from model.errors import InputError
from tasks.files.yaml_files import COMMIT
from tasks.project.params import load_params


def pin(file: Path, name: str, commit: str) -> None:
    """Write the commit of the model that params.yaml has under `name`, such as ``base``, beside it.

    Raises:
        InputError: the file cannot be written, or does not name that model in a line of its own.
    """
    assert re.fullmatch(COMMIT, commit), commit
    before = file.read_text(encoding="utf-8")
    text, found = re.subn(rf"(?m)^{name}_revision:.*$", f"{name}_revision: {commit}", before)
    if not found:
        text, found = re.subn(rf"(?m)^({name}:.*)$", rf"\g<1>\n{name}_revision: {commit}", before)
    if found != 1:
        raise InputError(f"{file.name}: write `{name}_revision: {commit}` beside {name} yourself")
    try:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".pin-") as folder:
            new = Path(folder, file.name)
            new.write_text(text, encoding="utf-8")
            new.chmod(file.stat().st_mode & 0o777)
            if getattr(load_params(new), f"{name}_revision") != commit:
                raise InputError(f"{file.name}: write `{name}_revision: {commit}` beside {name} yourself")
            new.replace(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror}); it lacks {name}_revision: {commit}") from error
