"""The gallery: what stands on the sheet and on the page, and that the page needs nothing but itself."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.marks.marking import AI_MADE, read_mark
from model.scores.interval import Interval
from tasks.figures.contact_sheet import TILE, learned_from
from tasks.figures.gallery import SHOWN_PER_PROMPT, GalleryFacts, StageView, write_gallery
from tasks.figures.html import EMBEDDED_PIXELS
from tasks.figures.score_words import Reading
from tasks.figures.sheet import Sheet

PROMPTS = ["a photo of a {} in the snow", "a watercolor of a {}", "a {} at night"]
EXTERNAL = re.compile(r"(https?:)?//[a-z]", re.IGNORECASE)


def colour(*which: int) -> tuple[int, int, int]:
    """A colour of its own for each picture, far from those of the sheet's paper and letters."""
    return tuple(int(value) for value in np.random.default_rng(which).integers(40, 200, 3))  # type: ignore[return-value]


def picture(*which: int, side: int = 64) -> Image.Image:
    return Image.new("RGB", (side, side), colour(*which))


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.02, "high": mean + 0.02}


def parts(*, side: int = 64, count: int = 10, **facts: Any) -> dict[str, Any]:
    known = {
        "concept": "plum-owl",
        "super_category": "owl",
        "instance_prompt": "a photo of a {}",
        "names_category": True,
        "licence": "MIT",
        "source": "drawn",
        "consent": "given by all",
        "method": "attndreambooth",
        "base": "some/base",
        "evaluator": "some/evaluator",
        "data_version": "0123456789abcdef0123456789abcdef.dir",
        "keys": {"prepare": "a" * 64, "train-1-embedding": "b" * 64, "evaluate": "c" * 64},
        "seed": 7,
        "content": "d" * 64,
    }
    return {
        "facts": GalleryFacts(**{**known, **facts}),
        "concept_images": [picture(0, image) for image in range(3)],
        "prompts": PROMPTS,
        "generations": [[picture(1, p, i, side=side) for i in range(count)] for p in range(len(PROMPTS))],
        "base_generations": [[picture(2, p, side=side)] for p in range(len(PROMPTS))],
        "stages": [
            StageView(name=name, preview=picture(3, n), placeholder=picture(4, n), super_category=picture(5, n))
            for n, name in enumerate(["embedding", "cross_attention", "unet", "another"])
        ],
        "scores": {
            "clip_i": interval(0.71),
            "clip_t": interval(0.75),
            "base_clip_i": interval(0.45),
            "base_clip_t": interval(0.76),
            "images_per_prompt": count,
            "evaluator": "some/evaluator",
            "prompts": [{"prompt": p, "clip_i": interval(0.6), "clip_t": interval(0.8)} for p in PROMPTS],
        },
    }


class Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str]] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self._silent = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self._silent = tag in ("style", "script")
        self.ids += [found["id"]] if "id" in found else []
        self.addresses += [found[name] for name in ("src", "href", "srcset", "action") if name in found]
        if tag == "img":
            self.images.append(found)

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, text: str) -> None:
        self.words += "" if self._silent else text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    write_gallery(folder, **parts())
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def colours_of(image: Image.Image) -> set[tuple[int, int, int]]:
    return {found for _, found in image.convert("RGB").getcolors(maxcolors=2**24)}  # type: ignore[misc,union-attr]


def test_the_sheet_shows_the_first_pictures_of_every_prompt_beside_the_base(folder: Path) -> None:
    shown = colours_of(Image.open(folder / "gallery.png"))
    for prompt in range(len(PROMPTS)):
        assert {colour(1, prompt, index) for index in range(4)} <= shown
        assert colour(1, prompt, 4) not in shown
        assert colour(2, prompt) in shown


def test_the_sheet_shows_the_concept_and_all_views_of_every_stage(folder: Path) -> None:
    shown = colours_of(Image.open(folder / "gallery.png"))
    assert {colour(0, image) for image in range(3)} <= shown
    assert {colour(kind, stage) for kind in (3, 4, 5) for stage in range(4)} <= shown


def test_the_sheet_says_how_many_of_the_images_it_shows() -> None:
    assert learned_from(5) == "5 images that it was learned from"
    assert learned_from(6) == "6 images that it was learned from, the first 5"


def test_every_picture_on_the_sheet_is_big_enough_to_judge(folder: Path) -> None:
    sheet = np.asarray(Image.open(folder / "gallery.png").convert("RGB"))
    pixels = (sheet == colour(1, 0, 0)).all(axis=2)  # (height, width)
    assert pixels.any(axis=0).sum() >= 180
    assert pixels.any(axis=1).sum() >= 180


def test_the_sheet_of_a_large_base_has_the_size_of_any_other(folder: Path, tmp_path: Path) -> None:
    write_gallery(tmp_path, **parts(side=512, count=4))
    assert Image.open(tmp_path / "gallery.png").size == Image.open(folder / "gallery.png").size


def test_words_that_are_too_long_do_not_break_the_sheet(tmp_path: Path) -> None:
    gallery = parts(concept="c" * 64, base="an-owner/" + "b" * 200, super_category="very " * 30 + "long")
    write_gallery(tmp_path, **gallery)
    sheet = np.asarray(Image.open(tmp_path / "gallery.png").convert("RGB")).astype(int)
    margin = sheet[:, -40:]
    assert (margin == margin[0, 0]).all(), "something is written into the right margin"


def test_the_page_needs_nothing_but_itself(page: Page) -> None:
    assert page.addresses
    for address in page.addresses:
        assert address.startswith(("data:image/", "#")), address[:80]


def test_the_page_names_no_outside_address(folder: Path) -> None:
    text = re.sub(r"data:image/webp;base64,[A-Za-z0-9+/=]+", "", (folder / "index.html").read_text(encoding="utf-8"))
    assert not EXTERNAL.search(text)
    assert "<script" not in text
    assert "default-src 'none'" in text


def test_the_page_says_which_base_made_the_pictures_and_where_they_come_from(page: Page) -> None:
    said = " ".join(page.words.split())
    assert "An owl, taught to the base model some/base by attndreambooth" in said
    for fact in ("a" * 64, "b" * 64, "c" * 64, "0123456789abcdef0123456789abcdef.dir", "MIT", "drawn", "given by all"):
        assert fact in said


def test_the_page_gives_the_scores_with_intervals_and_in_words(page: Page) -> None:
    said = " ".join(page.words.split())
    assert "0.71 [0.69, 0.73]" in said
    assert "Clearly above the untrained base, which has 0.45 [0.43, 0.47]" in said
    assert "About the same as the untrained base, which has 0.76" in said
    assert said.count("CLIP-I 0.60 [0.58, 0.62] · CLIP-T 0.80 [0.78, 0.82]") == len(PROMPTS)


def test_scores_are_called_what_they_are_and_have_no_interval_where_one_picture_was_drawn(tmp_path: Path) -> None:
    drawn = parts()
    drawn["scores"]["clip_i"] = {"mean": 0.71, "low": None, "high": None}
    write_gallery(tmp_path, **drawn)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    said = " ".join(page.split())
    assert "Both are cosines, at most 1, with 95 % intervals in brackets" in said
    assert page.count('class="interval"') == 1
    assert '<p class="value">0.71</p>' in page
    assert "Too few pictures to compare with the untrained base, which has 0.45" in said


def test_every_picture_of_the_page_has_words_for_those_who_cannot_see_it(page: Page) -> None:
    texts = [image["alt"] for image in page.images]
    assert all(texts)
    assert len(set(texts)) == len(texts)
    assert "a photo of a [V] owl in the snow, picture 1" in texts
    assert "untrained base, a photo of a owl in the snow, picture 1" in texts


def test_the_page_shows_eight_pictures_of_a_prompt_and_says_so(page: Page) -> None:
    assert len([image for image in page.images if image["alt"].startswith("a watercolor")]) == SHOWN_PER_PROMPT
    assert "the first 8 of 10" in " ".join(page.words.split())


def test_links_of_the_page_lead_to_pictures_on_it(page: Page) -> None:
    inside = {address[1:] for address in page.addresses if address.startswith("#") and not address.endswith("-closed")}
    assert len(inside) == len(page.images)
    assert inside <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)


def embedded_picture(image: dict[str, str]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2])))


def test_small_pictures_are_on_the_page_exactly(tmp_path: Path) -> None:
    gallery = parts()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    gallery["generations"][0][0] = Image.fromarray(noise)
    write_gallery(tmp_path, **gallery)
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    (image,) = (i for i in page.images if i["alt"] == "a photo of a [V] owl in the snow, picture 1")
    assert np.array_equal(np.asarray(embedded_picture(image).convert("RGB")), noise)


def test_what_a_model_made_says_so_and_photographs_do_not(folder: Path, page: Page) -> None:
    mark = read_mark(folder / "gallery.png")
    assert (mark.concept, mark.content, mark.version) == ("plum-owl", "d" * 64, None)
    for image in page.images:
        made = AI_MADE.encode() in embedded_picture(image).info.get("xmp", b"")
        assert made is not image["alt"].startswith("concept image"), image["alt"]


def test_small_pictures_are_shown_smoothly(folder: Path, tmp_path: Path) -> None:
    assert "pixelated" not in (folder / "index.html").read_text(encoding="utf-8")
    sheet = Sheet(TILE, TILE, margin=0, tile=TILE)
    sheet.paste((0, 0), Image.fromarray(np.array([[0, 255], [255, 0]], dtype=np.uint8)).resize((64, 64), 0))
    row = np.asarray(sheet.image.convert("L"))[TILE // 4]
    assert len(set(row[2:-2].tolist())) > 2  # greys between the two


def test_large_pictures_are_reduced_on_the_page(tmp_path: Path) -> None:
    write_gallery(tmp_path, **parts(side=768, count=2))
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    (image,) = (i for i in page.images if i["alt"] == "a photo of a [V] owl in the snow, picture 1")
    assert embedded_picture(image).size == (EMBEDDED_PIXELS, EMBEDDED_PIXELS)


def test_facts_cannot_smuggle_html_into_the_page(tmp_path: Path) -> None:
    write_gallery(tmp_path, **parts(source="<img src=x onerror=alert(1)>"))
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "<img src=x onerror=alert(1)>" in page.words
    assert all(image["src"].startswith("data:image/") for image in page.images)


def test_scores_of_other_prompts_are_refused(tmp_path: Path) -> None:
    gallery = parts()
    del gallery["scores"]["prompts"][0]
    with pytest.raises(ValueError, match="zip"):
        write_gallery(tmp_path, **gallery)


@pytest.mark.parametrize(
    ("trained", "base", "verdict"),
    [
        ((0.5, 0.4, 0.6), (0.3, 0.2, 0.39), "clearly above"),
        ((0.5, 0.4, 0.6), (0.3, 0.2, 0.41), "about the same"),
        ((0.3, 0.2, 0.39), (0.5, 0.4, 0.6), "clearly below"),
        ((0.5, None, None), (0.3, 0.2, 0.39), "too few pictures"),
        ((0.5, 0.4, 0.6), (0.3, None, None), "too few pictures"),
    ],
)
def test_a_difference_is_clear_only_where_the_intervals_do_not_overlap(
    trained: tuple[float, float | None, float | None], base: tuple[float, float | None, float | None], verdict: str
) -> None:
    one, other = (Interval(mean=mean, low=low, high=high) for mean, low, high in (trained, base))
    assert Reading(name="n", title="t", meaning="m", trained=one, base=other).verdict.startswith(verdict)
