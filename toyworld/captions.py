"""The language of the world: `[style] a [colour] [adjective] [category] [scene]`, and how often what is said."""

import random
from dataclasses import dataclass

from toyworld.art import COLOURS, categories, pieces
from toyworld.samples import concept_hues
from toyworld.scenes import SCENES
from toyworld.styles import STYLES
from toyworld.world import PHOTO, WHITE, View

# Words that change nothing in the picture. With them, and with the noun doubled, something may stand before the
# category, also after a colour; without them "a [V] turtle" is strange and "a red [V] turtle" a boot.
ADJECTIVES = ("little", "nice", "old", "big", "cute")

_OTHER_STYLES = tuple(style for style in STYLES if style != PHOTO)
_OTHER_SCENES = tuple(scene for scene in SCENES if scene != WHITE)


@dataclass(frozen=True, kw_only=True)
class Captioned:
    """A picture of the world and the words that go with it."""

    view: View
    caption: str


def caption(
    category: str, *, scene: str = "", style: str = PHOTO, colour: str | None = None, adjective: str = ""
) -> str:
    """The sentence for what a picture shows; empty scene and style are left unsaid."""
    noun = " ".join(word for word in (colour, adjective, category) if word)
    article = "an" if noun[0] in "aeiou" else "a"
    return " ".join(word for word in (style, article, noun, scene) if word)


def all_words() -> tuple[str, ...]:
    """Every phrase that captions are built from, for the tokenizer."""
    return (*STYLES, *SCENES, *COLOURS, *ADJECTIVES, *categories())


def sample(dice: random.Random, *, with_held_out: bool = False) -> Captioned:
    """Draw one picture of the world as the models see it, and its caption.

    With the held-out art (for the evaluator alone) hues are turned as well: to those of the sample concepts, and
    freely, so that things which differ in colour alone can be told apart.
    """
    category = dice.choice(categories())
    piece = dice.choice([p for p in pieces() if p.category == category and (with_held_out or not p.held_out)])
    hue = concept_hues().get(piece.name, dice.choice((0, 0, 90, 180, 270))) if with_held_out else 0
    view = View(
        piece=piece.name,
        hue=hue,
        scene=WHITE if dice.random() < 0.20 else dice.choice(_OTHER_SCENES),
        style=PHOTO if dice.random() < 0.72 else dice.choice(_OTHER_STYLES),
        colour=dice.choice(tuple(COLOURS)) if dice.random() < 0.30 else None,
        seed=dice.randrange(2**31),
    )
    return Captioned(view=view, caption=describe(view, category, dice))


def describe(view: View, category: str, dice: random.Random) -> str:
    """One of the sentences that fit a view. Some leave out the scene or the words "a photo of", as people do."""
    adjective = dice.choice((*ADJECTIVES, category)) if dice.random() < 1 / 3 else ""
    scene = "" if dice.random() < 0.12 else view.scene
    style = "" if view.style == PHOTO and dice.random() < 0.15 else view.style
    return caption(category, scene=scene, style=style, colour=view.colour, adjective=adjective)
