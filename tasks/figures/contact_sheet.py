"""The gallery as one picture: a training on a sheet that explains itself."""

from PIL import Image

from tasks.figures.gallery_content import STAGE_LESSONS, Gallery, Scene, StageView
from tasks.figures.score_words import Reading
from tasks.figures.sheet import ACCENT, FAINT, INK, LINE, Sheet

TILE = 192
"""Side of every picture on the sheet, in pixels: three times that of the embedded base's pictures."""
IMAGES_SHOWN = 5
PER_PROMPT = 4
MARGIN, GAP, GUTTER = 56, 8, 40
APART = 24
"""Gap between the untrained base's picture and those after training."""
BLOCK = TILE + APART + PER_PROMPT * TILE + (PER_PROMPT - 1) * GAP
WIDTH = 2 * MARGIN + 2 * BLOCK + GUTTER
LEFT, RIGHT = MARGIN, MARGIN + BLOCK + GUTTER


def draw_contact_sheet(gallery: Gallery) -> Image.Image:
    """The whole gallery on one sheet, two prompts abreast; pictures are the first of each prompt, not picked ones."""
    rows = 1 + len(gallery.stages) + len(gallery.scenes)
    sheet = Sheet(WIDTH, 1000 + rows * (TILE + 110), margin=MARGIN, tile=TILE)
    y = _title(sheet, gallery, MARGIN)
    y = _concept(sheet, gallery, y) + MARGIN
    y = _stages(sheet, gallery, y) + MARGIN
    y = _scenes(sheet, gallery, y) + MARGIN
    return sheet.image.crop((0, 0, WIDTH, y))


def _title(sheet: Sheet, gallery: Gallery, y: int) -> int:
    facts = gallery.facts
    sheet.write((LEFT, y), facts.concept, 68, bold=True)
    end = sheet.write((LEFT, y + 90), f"{facts.indefinite_category}, taught to the base model ", 30)
    end = sheet.write((end, y + 90), facts.base, 30, bold=True)
    end = sheet.write((end, y + 90), f" by {facts.method}. In prompts, write {{}} for ", 30)
    sheet.write((end, y + 90), facts.called, 30, ACCENT, bold=True)
    keys = "   ".join(f"{stage} {key[:12]}" for stage, key in facts.keys.items())
    sheet.write((LEFT, y + 136), f"images {facts.data_version[:12]}   {keys}   seed {facts.seed}", 22, FAINT)
    sheet.draw.line([(LEFT, y + 184), (WIDTH - MARGIN, y + 184)], fill=LINE, width=2)
    return y + 214


def _concept(sheet: Sheet, gallery: Gallery, y: int) -> int:
    sheet.heading((LEFT, y), "The concept", learned_from(len(gallery.concept_images)))
    below = sheet.heading(
        (RIGHT, y), "In figures", f"cosines, at most 1, with 95 % intervals, by {gallery.facts.evaluator}"
    )
    for index, image in enumerate(gallery.concept_images[:IMAGES_SHOWN]):
        sheet.paste((LEFT + index * (TILE + GAP), below), image)
    for index, reading in enumerate(gallery.readings):
        _meter(sheet, (RIGHT, below + index * 108), reading)
    return below + TILE


def learned_from(images: int) -> str:
    """What is said of the concept's images, of which the sheet has room for a few."""
    said = f"{images} images that it was learned from"
    return said if images <= IMAGES_SHOWN else f"{said}, the first {IMAGES_SHOWN}"


def _meter(sheet: Sheet, xy: tuple[int, int], reading: Reading) -> None:
    """A score as a bar from 0 to 1 with its interval, if it has one, and a tick where the untrained base stands."""
    x, y = xy
    trained, base = reading.trained, reading.base
    end = sheet.write((x, y), reading.title, 26, bold=True)
    sheet.write((end + 12, y + 3), f"{reading.name} {trained}: {reading.verdict} ({base.mean:.2f})", 22, FAINT)

    def at(value: float) -> float:
        return x + BLOCK * min(max(value, 0.0), 1.0)

    top, bottom = y + 44, y + 54
    sheet.draw.rounded_rectangle([x, top, x + BLOCK, bottom], 5, fill=LINE)
    sheet.draw.rounded_rectangle([x, top, max(at(trained.mean), x + 10), bottom], 5, fill=ACCENT)
    if trained.low is not None and trained.high is not None:
        sheet.draw.rectangle([at(trained.low), top - 4, at(trained.high), bottom + 4], outline=INK, width=2)
    sheet.draw.line([(at(base.mean), top - 8), (at(base.mean), bottom + 8)], fill=INK, width=3)
    sheet.write((x, y + 66), reading.meaning, 20, FAINT)


def _stages(sheet: Sheet, gallery: Gallery, y: int) -> int:
    category = gallery.facts.super_category
    prompt = gallery.facts.instance_prompt.replace("{}", gallery.facts.called)
    drawn = f'after each stage: what it draws for "{prompt}", and where it looks for each word'
    y = sheet.heading((LEFT, y), "How it learned", drawn)
    width = 3 * TILE + 2 * GAP
    abreast = (WIDTH - 2 * MARGIN + GUTTER) // (width + GUTTER)
    for index, stage in enumerate(gallery.stages):
        if index and index % abreast == 0:
            y += TILE + 100
        _stage(sheet, (LEFT + index % abreast * (width + GUTTER), y), index + 1, stage, category, width)
    return y + TILE + 70


def _stage(sheet: Sheet, xy: tuple[int, int], number: int, stage: StageView, super_category: str, width: int) -> None:
    x, y = xy
    end = sheet.write((x, y), f"{number}  {stage.name.replace('_', ' ')}", 24, bold=True, until=x + width)
    sheet.write((end + 12, y + 3), STAGE_LESSONS.get(stage.name, ""), 20, FAINT, until=x + width)
    views = [(stage.preview, "picture", FAINT), (stage.placeholder, "where it looks for [V]", ACCENT)]
    if stage.super_category:
        views.append((stage.super_category, f"... for {super_category}", FAINT))
    for column, (picture, caption, colour) in enumerate(views):
        left = x + column * (TILE + GAP)
        sheet.paste((left, y + 40), picture)
        sheet.write((left, y + 46 + TILE), caption, 20, colour, until=left + TILE)


def _scenes(sheet: Sheet, gallery: Gallery, y: int) -> int:
    made = len(gallery.scenes[0].generations)
    shown = f"the first {PER_PROMPT} of {made}" if made > PER_PROMPT else f"all {made}"
    said = f"at the left what the untrained base draws; then {shown} pictures after training, none picked"
    y = sheet.heading((LEFT, y), "In new scenes", said)
    for index, scene in enumerate(gallery.scenes):
        x = LEFT if index % 2 == 0 else RIGHT
        row = y + index // 2 * (TILE + 70)
        _scene(sheet, (x, row), scene, gallery.facts.called)
    return y + (len(gallery.scenes) + 1) // 2 * (TILE + 70) - 32


def _scene(sheet: Sheet, xy: tuple[int, int], scene: Scene, called: str) -> None:
    x, y = xy
    scores = f"CLIP-I {scene.clip_i.mean:.2f}   CLIP-T {scene.clip_t.mean:.2f}"
    end = x + BLOCK - sheet.width_of(scores, 20)
    sheet.write((end, y + 4), scores, 20, FAINT)
    before, _, after = scene.prompt.partition("{}")
    pen = sheet.write((x, y), before, 25, until=end - 20)
    pen = sheet.write((pen, y), called, 25, ACCENT, bold=True, until=end - 20)
    sheet.write((pen, y), after, 25, until=end - 20)
    for picture in scene.base_generations[:1]:
        sheet.paste((x, y + 38), picture)
    for index, picture in enumerate(scene.generations[:PER_PROMPT]):
        sheet.paste((x + TILE + APART + index * (TILE + GAP), y + 38), picture)
