"""What another program draws with an export."""

import re
from pathlib import Path
from typing import Any

import numpy as np


def drawn_as_the_card_says(folder: Path) -> np.ndarray:
    """The picture of the code in its README.md, with nothing but the folder."""
    return np.asarray(names_of_the_card(folder)["picture"]).astype(int)


def names_of_the_card(folder: Path) -> dict[str, Any]:
    """Everything that the code in its README.md leaves, `pipeline` and `picture` among it."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace("PATH_OF_THIS_FOLDER", str(folder)).replace("PATH_OF_THE_BASE", "base"), names)
    return names
