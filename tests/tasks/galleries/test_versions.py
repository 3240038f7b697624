"""Each version's gallery as files: what goes around it, links to its neighbours, what is not drawn again."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from model.marks.marking import read_mark
from tasks.figures.gallery_frame import GalleryFrame, ScoreChange, framed_page
from tasks.figures.score_words import ScoreVerdict, interval
from tasks.galleries.versions import show_versions
from tasks.project.settings import Settings
from tasks.registry.versions import REVOKED_TAG
from tasks.store.scores import load_scores
from tasks.store.store import open_store
from tasks.tracking.client import connect
from tests.lineage_project import CONCEPT, Trained, copy_of


def judge(scores: Mapping[str, Any]) -> ScoreVerdict:
    """A gate that both versions are held against, each with its own figure."""
    return ScoreVerdict(passed=False, said=f"would not be released: CLIP-I {scores['clip_i']['mean']:.6f}, at least 1")


@pytest.fixture(scope="module")
def settings(lineage_project: Trained, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The shared project, with a folder of its own for galleries, in which version 2 is shown."""
    settings = lineage_project.settings.model_copy(update={"gallery_dir": tmp_path_factory.mktemp("galleries")})
    show_versions(settings, open_store(settings), CONCEPT, 2, judge)
    return settings


def words(page: Path) -> str:
    text = page.read_text(encoding="utf-8").partition('<div class="frame">')[2]
    return " ".join(re.sub("<[^>]*>", " ", text.partition("</div>\n<header>")[0]).split())


def links(page: Path) -> dict[str, Path]:
    """Where the frame's links lead, by their words."""
    found = re.findall(r'<a (?:rel="[a-z]+" )?href="([^"#]+)">([^<]+)</a>', page.read_text(encoding="utf-8"))
    return {said: (page.parent / href).resolve() for href, said in found}


def test_each_version_has_its_page_which_names_it_and_leads_to_its_neighbours(
    settings: Settings, lineage_project: Trained
) -> None:
    folder = settings.gallery_dir / CONCEPT
    first, second = (folder / f"v{number}" / "index.html" for number in (1, 2))
    day = lineage_project.last.manifests["evaluate"].created[:4]
    for number, page in ((1, first), (2, second), (2, folder / "index.html")):
        said = words(page)
        assert f"version {number} trained on" in said and day in said
        assert "pictures made by AI" in said
    assert links(first) == {"version 2 →": second.resolve(), "all concepts": settings.gallery_dir / "index.html"}
    for page in (second, folder / "index.html"):
        assert links(page) == {"← version 1": first.resolve(), "all concepts": settings.gallery_dir / "index.html"}
    assert f"conceptbooth diff {CONCEPT} 1 2" in words(second)
    assert re.search(r"version 2 against version 1: CLIP-I 0\.\d\d", words(second))
    assert "against" not in words(first)


def test_each_page_begins_with_what_the_gates_say_of_its_own_scores(
    settings: Settings, lineage_project: Trained
) -> None:
    folder, made = settings.gallery_dir / CONCEPT, lineage_project.last
    said = judge(load_scores(made.store, made.manifests["evaluate"])).said
    for place in ("v2", "."):
        assert f"Verdict: {said}" in words(folder / place / "index.html")
    assert "Verdict: would not be released" in words(folder / "v1" / "index.html")


def test_gates_that_ask_no_scores_leave_no_verdict(lineage_project: Trained, tmp_path: Path) -> None:
    settings = lineage_project.settings.model_copy(update={"gallery_dir": tmp_path})
    folder = show_versions(settings, open_store(settings), CONCEPT, 2, lambda _: None)
    assert "Verdict" not in words(folder / "index.html")


def test_the_link_to_all_concepts_leads_somewhere_and_a_page_that_is_there_stays(
    settings: Settings, tmp_path: Path
) -> None:
    elsewhere = settings.model_copy(update={"gallery_dir": tmp_path})
    show_versions(elsewhere, open_store(elsewhere), CONCEPT, 2, judge)
    index = links(tmp_path / CONCEPT / "index.html")["all concepts"]
    assert "conceptbooth gallery --index" in index.read_text()
    index.write_text("made")
    show_versions(elsewhere, open_store(elsewhere), CONCEPT, 1, judge)
    assert index.read_text() == "made"


def test_its_sheet_is_the_drawn_one_under_a_strip_and_says_which_version_it_shows(
    settings: Settings, lineage_project: Trained
) -> None:
    made = lineage_project.last
    drawn = Image.open(made.store.file(made.manifests["gallery"], "gallery.png")).convert("RGB")
    for place in ("v2", "."):
        file = settings.gallery_dir / CONCEPT / place / "gallery.png"
        sheet = Image.open(file).convert("RGB")
        above = sheet.height - drawn.height
        assert 0 < above < 150
        assert sheet.crop((0, above, sheet.width, sheet.height)).tobytes() == drawn.tobytes()
        assert (read_mark(file).concept, read_mark(file).version) == (CONCEPT, 2)


def test_what_is_right_is_not_drawn_again_and_what_is_gone_is(settings: Settings) -> None:
    folder = settings.gallery_dir / CONCEPT
    files = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
    show_versions(settings, open_store(settings), CONCEPT, 2, judge)
    assert {file: file.stat().st_mtime_ns for file in files} == files
    page = (folder / "v1" / "index.html").read_bytes()
    shutil.rmtree(folder / "v1")
    (folder / "index.html").unlink()
    show_versions(settings, open_store(settings), CONCEPT, 2, judge)
    assert (folder / "v1" / "index.html").read_bytes() == page
    assert (folder / "index.html").is_file()


def test_a_project_that_goes_back_to_a_version_shows_that_one(settings: Settings, tmp_path: Path) -> None:
    back = settings.model_copy(update={"gallery_dir": tmp_path})
    show_versions(back, open_store(back), CONCEPT, 1, judge)
    assert "version 1 trained on" in words(tmp_path / CONCEPT / "index.html")
    assert "version 2 →" in links(tmp_path / CONCEPT / "index.html")


def test_a_revoked_version_is_not_shown(lineage_project: Trained, tmp_path: Path) -> None:
    settings = copy_of(lineage_project.settings, tmp_path / "project")
    connect(settings).set_model_version_tag(f"concept.{CONCEPT}", "1", REVOKED_TAG, "2026-12-01")
    folder = show_versions(settings, open_store(settings), CONCEPT, 2, judge)
    assert not (folder / "v1").exists()
    assert list(links(folder / "index.html")) == ["all concepts"]


def test_a_base_of_a_small_world_is_called_so(lineage_project: Trained, tmp_path: Path) -> None:
    settings = lineage_project.settings.model_copy(update={"gallery_dir": tmp_path})
    file = settings.root / "base" / "domain.toml"
    file.write_text('name = "the toy world"\npicture_side = 64\n')
    try:
        show_versions(settings, open_store(settings), CONCEPT, 2, judge)
    finally:
        file.unlink()
    assert "base of the toy world" in words(tmp_path / CONCEPT / "index.html")


@pytest.mark.parametrize(
    ("now", "said"),
    [((0.6, 0.55, 0.65), "higher"), ((0.3, 0.25, 0.35), "lower"), ((0.5, 0.4, 0.6), "about the same")],
)
def test_a_score_changed_only_where_the_intervals_do_not_overlap(now: tuple[float, ...], said: str) -> None:
    scores = [dict(zip(("mean", "low", "high"), each, strict=True)) for each in ((0.45, 0.42, 0.5), now)]
    before, after = (interval(score) for score in scores)
    assert ScoreChange(name="CLIP-I", before=before, now=after).verdict == said


def test_words_from_elsewhere_stay_words() -> None:
    frame = GalleryFrame(
        concept="owl",
        version=1,
        trained_at="2026-11-30T20:00:00+00:00",
        domain="<b>x</b>",
        verdict=ScoreVerdict(passed=True, said="<i>y</i>"),
        before=None,
        after=None,
    )
    page = framed_page("<body>\n<header></header>", frame)
    assert "30 November 2026" in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page and "Verdict: &lt;i&gt;y&lt;/i&gt;" in page
    assert page.endswith("<header></header>")
