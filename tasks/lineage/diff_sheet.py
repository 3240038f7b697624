"""Two versions side by side on one sheet: the same prompts from the same seeds."""

from PIL import Image

from tasks.figures.sheet import FAINT, LINE, Sheet
from tasks.lineage.chain import Chain
from tasks.lineage.diff import ScorePair, VersionDiff
from tasks.store.artefacts import GENERATIONS
from tasks.store.pictures import picture
from tasks.store.store import Store

TILE, PER_PROMPT = 144, 4
MARGIN, GAP, GUTTER = 48, 8, 48
BLOCK = PER_PROMPT * TILE + (PER_PROMPT - 1) * GAP
WIDTH = 2 * MARGIN + 2 * BLOCK + GUTTER
LEFT, RIGHT = MARGIN, MARGIN + BLOCK + GUTTER
_CHANGES_SHOWN = 6


def draw_diff_sheet(store: Store, diff: VersionDiff) -> Image.Image:
    """The first pictures of each prompt that both versions drew; not picked ones.

    Raises:
        Damaged, StoreFailed: a picture is not as it was, or cannot be read.
    """
    changes = diff.changes[:_CHANGES_SHOWN]
    sheet = Sheet(WIDTH, 400 + 30 * len(changes) + len(diff.prompts) * (TILE + 90), margin=MARGIN, tile=TILE)
    sheet.write((LEFT, MARGIN), f"{diff.after.head.concept}: two versions", 44, bold=True)
    y = MARGIN + 70
    rest = len(diff.changes) - len(changes)
    for change in (*changes, *([f"and {rest} more"] if rest else [])):
        sheet.write((LEFT, y), change, 21, FAINT)
        y += 30
    y += 20
    for x, chain in ((LEFT, diff.before), (RIGHT, diff.after)):
        sheet.write((x, y), _title(chain), 30, bold=True, until=x + BLOCK)
        for line, score in enumerate(diff.scores):
            shown = score.before if x == LEFT else score.after
            sheet.write((x, y + 42 + 26 * line), f"{score.name} {shown}", 21, FAINT, until=x + BLOCK)
    y += 42 + 26 * len(diff.scores) + 14
    sheet.draw.line([(LEFT, y), (WIDTH - MARGIN, y)], fill=LINE, width=2)
    y += 20
    for prompt, clip_i, clip_t in diff.prompts:
        sheet.write((LEFT, y), prompt, 24, until=RIGHT - GUTTER)
        _scores(sheet, y, clip_i, clip_t)
        for x, chain in ((LEFT, diff.before), (RIGHT, diff.after)):
            for place, name in enumerate(_names(chain, prompt)):
                sheet.paste((x + place * (TILE + GAP), y + 38), picture(store, chain.manifests["evaluate"], name))
        y += TILE + 80
    return sheet.image.crop((0, 0, WIDTH, y))


def _title(chain: Chain) -> str:
    return f"version {chain.head.version}" if chain.head.version else f"content {str(chain.head.content)[:12]}"


def _scores(sheet: Sheet, y: int, *pairs: ScorePair) -> None:
    said = "   ".join(f"{pair.name} {pair.before.mean:.2f} -> {pair.after.mean:.2f}" for pair in pairs)
    sheet.write((RIGHT, y + 3), said, 20, FAINT)


def _names(chain: Chain, prompt: str) -> list[str]:
    """The first pictures of a prompt; the same place means the same seed."""
    evaluation = chain.manifests["evaluate"]
    folder = f"{GENERATIONS}/{list(evaluation.parameters['prompts']).index(prompt):02}/"
    return sorted(name for name in evaluation.files if name.startswith(folder))[:PER_PROMPT]
