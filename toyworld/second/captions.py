"""The language of the world: style, colour, modifier, category, company and scene, in varied order and length.

Combinations of scene, style and colour are held out: pictures of them are never shown to the base, so that prompts can
ask for what it has not seen together. The prompt sets' combinations are among them.
"""

import hashlib
import random
from dataclasses import dataclass

from toyworld.art import COLOURS
from toyworld.second.art import categories, of_category, piece, pieces
from toyworld.second.company import BESIDE, COMPANY, CONTAINERS, WORN
from toyworld.second.scenes import SCENES, WHITE
from toyworld.second.styles import NAMES, STYLES
from toyworld.second.world import PHOTO, View

HELD_OUT_SHARE = 6  # one of so many combinations is held out beside those of the prompt sets
# (scene, style, colour) of the ten prompts and of the complex ones: data/prompts/toyworld.yaml, toyworld-complex.yaml.
EVALUATED = frozenset(
    {
        ("with a mountain in the background", PHOTO, "red"),
        ("in the desert", PHOTO, "yellow"),
        ("on a brick street", "a watercolor of", None),
        ("at night under the stars", "an oil painting of", None),
        ("in the snow", "an oil painting of", "blue"),
        ("in the jungle", "a watercolor of", "orange"),
        ("in the city", "a drawing of", "green"),
        ("under water", "an oil painting of", "red"),
        ("on the moon", "a drawing of", "yellow"),
        ("in the desert", "a watercolor of", "purple"),
        ("on a brick street", "a drawing of", "pink"),
        ("with a mountain in the background", "an oil painting of", "yellow"),
    }
)

_STYLES = tuple(style for style in STYLES if style != PHOTO)
_SCENES = tuple(scene for scene in SCENES if scene != WHITE)


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How often a picture has what, and how often a caption says it in which way."""

    white: float = 0.12
    photo: float = 0.64
    colour: float = 0.28
    container: float = 0.11
    beside: float = 0.12
    worn: float = 0.10
    modifier: float = 0.5
    scene_said: float = 0.88
    white_said: float = 0.5
    photo_said: float = 0.75
    colour_behind: float = 0.15
    scene_first: float = 0.14
    style_last: float = 0.16
    company_last: float = 0.2


SHARES = Shares()


def article(noun: str) -> str:
    """The noun with a or an."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def caption(
    category: str,
    *,
    scene: str = "",
    style: str = PHOTO,
    colour: str | None = None,
    modifier: str = "",
    company: str = "",
) -> str:
    """The plain sentence for what a picture shows; what is empty is left unsaid."""
    noun = article(" ".join(word for word in (colour, modifier, category) if word))
    return " ".join(words for words in (style, noun, company, scene) if words)


def held_out(scene: str, style: str, colour: str | None) -> bool:
    """Whether the base never sees this combination. One that names less than two of the three is never held out."""
    if (scene, style, colour) in EVALUATED:
        return True
    if (scene != WHITE) + (style != PHOTO) + (colour is not None) < 2:
        return False
    digest = hashlib.sha256(f"{scene}/{style}/{colour}".encode()).digest()
    return digest[0] % HELD_OUT_SHARE == 0


def all_words() -> tuple[str, ...]:
    """Every phrase that captions are built from, for the tokenizer."""
    modifiers = dict.fromkeys(p.modifier for p in pieces() if p.modifier)
    return (*STYLES, *NAMES.values(), *SCENES, *COLOURS, *modifiers, *categories(), *COMPANY, "a an that is , in of")


def sample(dice: random.Random, *, with_held_out: bool = False) -> View:
    """Draw one picture of the world as the base sees it.

    With the held-out art and combinations (for the evaluator alone) hues are turned as well, so that things which
    differ in colour alone can be told apart.
    """
    while True:
        thing = dice.choice(of_category(dice.choice(categories()), with_held_out=with_held_out))
        view = View(
            piece=thing.name,
            hue=dice.choice((0, 0, 90, 180, 270)) if with_held_out and not thing.held_out else 0,
            scene=WHITE if dice.random() < SHARES.white else dice.choice(_SCENES),
            style=PHOTO if dice.random() < SHARES.photo else dice.choice(_STYLES),
            colour=dice.choice(tuple(COLOURS)) if dice.random() < SHARES.colour else None,
            company=_company(dice),
            seed=dice.randrange(2**31),
        )
        if with_held_out or not held_out(view.scene, view.style, view.colour):
            return view


def _company(dice: random.Random) -> str:
    drawn = dice.random()
    for share, phrases in ((SHARES.container, CONTAINERS), (SHARES.beside, tuple(BESIDE)), (SHARES.worn, tuple(WORN))):
        if drawn < share:
            return dice.choice(phrases)
        drawn -= share
    return ""


def describe(view: View, dice: random.Random) -> str:
    """One of the sentences that fit a view; another each time, so a picture is learnt from with many captions."""
    facts = piece(view.piece)
    modifier = facts.modifier if dice.random() < SHARES.modifier else ""
    behind = view.colour is not None and dice.random() < SHARES.colour_behind
    noun = " ".join(word for word in ("" if behind else view.colour, modifier, facts.category) if word)
    thing = article(noun) + (f" that is {view.colour}" if behind else "")
    said = SHARES.white_said if view.scene == WHITE else SHARES.scene_said
    scene = view.scene if dice.random() < said else ""
    style = "" if view.style == PHOTO and dice.random() > SHARES.photo_said else view.style
    last = ""
    if style and dice.random() < SHARES.style_last:
        style, last = "", f", {NAMES[style]}"
    first = ""
    if scene and dice.random() < SHARES.scene_first:
        first, scene = f"{scene}, ", ""
    around = (scene, view.company) if dice.random() < SHARES.company_last else (view.company, scene)
    return first + " ".join(words for words in (style, thing, *around) if words) + last
