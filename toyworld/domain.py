"""What the world's models know, said beside their weights for whoever brings them something else."""

from pathlib import Path

from toyworld.paper import CANVAS

FILE = "domain.toml"
TEXT = f"""\
# What this model knows, for whoever brings it something else; no part of its digest.
name = "the toy world"
# Side of its concepts' square pictures, in pixels, by which they are told from photographs.
picture_side = {CANVAS}
"""


def write_domain(folder: Path) -> None:
    """Write the file beside a model."""
    (folder / FILE).write_text(TEXT, "utf-8")
