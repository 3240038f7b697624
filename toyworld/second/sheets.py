"""Contact sheets: what the second edition's base draws."""

from pathlib import Path

import yaml
from PIL import Image

from toyworld.manifest import ROOM
from toyworld.second import milestone
from toyworld.second.art import categories, of_category
from toyworld.second.captions import caption
from toyworld.second.company import COMPANY
from toyworld.second.scenes import SCENES
from toyworld.second.world import SIZE
from toyworld.sheets import contact_sheet, draw

COMPLEX = ROOM.parent / "data" / "prompts" / "toyworld-complex.yaml"
COLUMNS = 12


def prompts() -> list[str]:
    """What the sheet asks for: every category plainly and by a word of its own, company, complex prompts."""
    scenes, names = list(SCENES), categories()
    plain = [caption(name, scene=scenes[(i * 5) % len(scenes)]) for i, name in enumerate(names)]
    named = [
        caption(name, modifier=of_category(name)[i % 5].modifier, scene=scenes[(i * 3 + 4) % len(scenes)])
        for i, name in enumerate(names)
    ]
    beside = [
        caption(names[(i * 7 + 3) % len(names)], company=phrase, scene=scenes[(i * 5 + 1) % len(scenes)])
        for i, phrase in enumerate(COMPANY)
    ]
    rows = yaml.safe_load(COMPLEX.read_text("utf-8"))["prompts"]
    several = [row["prompt"].format(names[(i * 9 + 1) % len(names)]) for i, row in enumerate(rows)]
    return [*plain, *named, *beside, *several]


def sheet(base: Path, *, seed: int = 0, steps: int = 20) -> Image.Image:
    """The base's pictures of `prompts`, without choosing."""
    return contact_sheet(draw(prompts(), base, seed=seed, steps=steps), columns=COLUMNS, tile=SIZE)


def preview(work: Path) -> dict[str, object]:
    """Assemble the weights as they are now in `preview/` and draw the sheet from them into `preview.png`."""
    facts = milestone.assemble(work, work / "preview", work / "preview.json")
    sheet(work / "preview").save(work / "preview.png")
    return facts
