"""Files of a project that this package brings along: those of a checkout, or their copies in an installation.

An installation has them beside this module (setup.py); the embedded world is a package, and brings its own.
"""

from importlib.util import find_spec
from pathlib import Path

_INSTALLED = Path(__file__).with_name("shipped")
_CHECKOUT = Path(__file__).resolve().parents[2]


def shipped(name: str) -> Path:
    """The file or folder that a checkout has under this name, such as `data/prompts`."""
    return (_INSTALLED if _INSTALLED.is_dir() else _CHECKOUT) / name


def embedded_world() -> Path:
    """The folder of the embedded base's package, which none of the rooms imports."""
    found = find_spec("toyworld")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("the package toyworld is not installed")
    return Path(next(iter(found.submodule_search_locations)))
