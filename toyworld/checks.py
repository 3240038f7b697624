"""Does the evaluator deserve belief? Its scores of three draughtsmen who must come out in a known order.

The oracle pastes the concept's true art as a prompt says. The look-alike pastes another piece of the same category,
turned to the concept's colour. The base draws the bare category: it has never seen the concept.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from toyworld.captions import caption
from toyworld.evaluator import Judge
from toyworld.look_alikes import look_alikes
from toyworld.manifest import BASE, EVALUATOR
from toyworld.samples import Concept, concept, concepts, image_set
from toyworld.scenes import SCENES
from toyworld.sheets import draw
from toyworld.world import PHOTO, View, render


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a prompt asks for: the keywords of a caption and of a view."""

    scene: str
    style: str = PHOTO
    colour: str | None = None

    def prompt(self, category: str) -> str:
        """The prompt without a placeholder, as CLIP-T compares with."""
        return caption(category, scene=self.scene, style=self.style, colour=self.colour)


PROMPTS = (
    Asked(scene="in the snow"),
    Asked(scene="in the jungle"),
    Asked(scene="at night under the stars"),
    Asked(scene="in the city"),
    Asked(scene="inside a box"),
    Asked(scene="under water"),
    Asked(scene="on the beach", style="a pencil sketch of"),
    Asked(scene="in the desert", style="an oil painting of"),
    Asked(scene="on a brick street", colour="red"),
    Asked(scene="with a mountain in the background", colour="blue"),
)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Mean scores of one draughtsman for one concept, each a cosine."""

    clip_i: float
    clip_t: float
    identity: float
    """The ViT's, on prompts that ask for no style and no colour."""


def pasted(shown: Concept, asked: Sequence[Asked]) -> list[Image.Image]:
    """Pictures of true art, one a prompt."""
    views: list[View] = [
        shown.view(scene=a.scene, style=a.style, colour=a.colour, seed=100 + i) for i, a in enumerate(asked)
    ]
    return [render(view) for view in views]


def score(judge: Judge, name: str, drawn: list[Image.Image], asked: Sequence[Asked]) -> Scores:
    """Score pictures, one a prompt, against the concept's own images and the prompts."""
    images = image_set(name)
    pictures, originals = judge.pictures(drawn), judge.pictures(images)
    prompts = judge.prompts([a.prompt(concept(name).super_category) for a in asked])
    plain = [i for i, a in enumerate(asked) if a.style == PHOTO and a.colour is None]
    faces = judge.identities([drawn[i] for i in plain])
    return Scores(
        clip_i=_mean(pictures @ originals.T),
        clip_t=_mean((pictures * prompts).sum(dim=1)),
        identity=_mean(faces @ judge.identities(images).T),
    )


def _mean(cosines: Tensor) -> float:
    return float(cosines.mean())


def prompt_is_nearest(judge: Judge, name: str, drawn: list[Image.Image], asked: Sequence[Asked]) -> float:
    """Share of pictures whose own scene is the nearest of all scenes, other words being equal."""
    pictures = judge.pictures(drawn)
    hits = 0
    for i, a in enumerate(asked):
        others = [Asked(scene=s, style=a.style, colour=a.colour).prompt(concept(name).super_category) for s in SCENES]
        hits += list(SCENES)[int((judge.prompts(others) @ pictures[i]).argmax())] == a.scene
    return hits / len(asked)


def draw_base(base: Path = BASE, steps: int = 12) -> dict[str, list[Image.Image]]:
    """By super-category of the concepts: the untrained base's pictures of PROMPTS."""
    kinds = list(dict.fromkeys(facts.super_category for facts in concepts().values()))
    drawn = draw([asked.prompt(kind) for kind in kinds for asked in PROMPTS], base, seed=500, steps=steps)
    return {kind: drawn[i * len(PROMPTS) : (i + 1) * len(PROMPTS)] for i, kind in enumerate(kinds)}


def table(judge: Judge, base_pictures: dict[str, list[Image.Image]]) -> dict[str, dict[str, Scores]]:
    """Scores of oracle, look-alike and base for every concept; `base_pictures` by category, one a prompt of PROMPTS."""
    return {
        name: {
            "oracle": score(judge, name, pasted(facts, PROMPTS), PROMPTS),
            "alike": score(judge, name, pasted(look_alikes(name)[0], PROMPTS), PROMPTS),
            "base": score(judge, name, base_pictures[facts.super_category], PROMPTS),
        }
        for name, facts in concepts().items()
    }


def build_stage(work: Path, minutes: dict[str, float]) -> dict[str, object]:
    """The table for the manifest, in three digits."""
    rows = table(Judge(EVALUATOR), draw_base())
    return {
        name: {who: {score: round(value, 3) for score, value in asdict(scores).items()} for who, scores in row.items()}
        for name, row in rows.items()
    }
