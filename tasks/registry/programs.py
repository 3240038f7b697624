"""Files of ours that are run by their path, by MLflow or in a process of its own: those in mlflow/ of a checkout.

An installation has them beside this module (setup.py), since its folder mlflow/ is MLflow's own.
"""

from pathlib import Path

_INSTALLED = Path(__file__).with_name("mlflow_files")
_CHECKOUT = Path(__file__).resolve().parents[2] / "mlflow"


def program(name: str) -> Path:
    """The file of this name."""
    return (_INSTALLED if _INSTALLED.is_dir() else _CHECKOUT) / name
