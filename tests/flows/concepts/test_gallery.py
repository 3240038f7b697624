"""`conceptbooth gallery`: where the pages are, and the page of all concepts in a real browser."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli.app import app
from tasks.figures.gallery_index import IndexCard, render_index
from tests.browser import Page, find_browser, open_browser
from tests.lineage_project import CONCEPT, Trained, copy_of


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["gallery", *map(str, arguments)])


@pytest.fixture
def project(lineage_project: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shared project, with a second concept that was never trained."""
    settings = copy_of(lineage_project.settings, tmp_path / "project")
    folder = settings.concepts_dir / "cup"
    shutil.copytree(settings.concepts_dir / CONCEPT, folder)
    monkeypatch.chdir(settings.root)
    return settings.root


def test_the_index_has_every_concept_with_its_newest_picture_scores_and_state(project: Path) -> None:
    done = run("--index", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["concepts"] == 3
    page = Path(told["page"]).read_text(encoding="utf-8")
    cards = dict(re.findall(r'<li class="concept" data-name="([a-z]+)"(.*?)</li>', page, re.DOTALL))
    assert set(cards) == {CONCEPT, "turtle", "cup"}
    for words in ("data:image/webp", "CLIP-I 0.", "version 2", "up to date", "no champion"):
        assert words in cards[CONCEPT]
    assert "no picture yet" in cards["cup"]
    assert "never trained" in cards["cup"]
    assert "no gallery" in run(CONCEPT).stderr  # nothing was trained in this copy


def test_pages_of_versions_are_told(project: Path) -> None:
    assert CliRunner().invoke(app, ["train", CONCEPT]).exit_code == 0
    told = json.loads(run(CONCEPT, "--json").stdout)
    assert set(told["versions"]) == {"1", "2"}
    assert all(Path(page).is_file() for page in (told["page"], *told["versions"].values()))
    assert "version 2" in run(CONCEPT).stdout
    assert run("--index").exit_code == 0
    assert f'<a href="{CONCEPT}/index.html">' in Path(".conceptbooth/gallery/index.html").read_text(encoding="utf-8")


def test_either_a_name_or_the_index_is_asked_for() -> None:
    assert run().exit_code == 2
    assert run("owl", "--index").exit_code == 2


def card(number: int) -> IndexCard:
    state = ("up to date", "stale", "failed")[number % 3]
    return IndexCard(
        name=f"concept-{number:04}",
        super_category="teapot" if number % 2 else "owl",
        state=state,
        why="" if state == "up to date" else "the images changed: 2 added, 1 removed; learning_rate 0.001 -> 0.002",
        version=3,
        candidate=3,
        champion=2 if number % 10 == 0 else None,
        clip_i=number / 1000,
        clip_t=0.25,
        trained_at="2026-11-30T20:00:00+00:00",
        picture="data:image/webp;base64,UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==",
        page=None,
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if find_browser() is None:
        pytest.skip("no browser of Chromium's family is installed")
    with open_browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.mark.parametrize("width", [1280, 360])
def test_a_thousand_concepts_are_filtered_and_sorted_in_a_browser(browser: Page, tmp_path: Path, width: int) -> None:
    file = tmp_path / "index.html"
    file.write_text(
        render_index([card(n) for n in range(1000)], made_at="now", notes=["Not known: x"]), encoding="utf-8"
    )
    browser.show(file, width)
    shown = "[...document.querySelectorAll('.concept')].filter((card) => !card.hidden).length"
    assert browser.value(shown) == 1000
    assert browser.value("document.documentElement.scrollWidth") <= width

    def set_value(field: str, value: str, event: str) -> None:
        browser.value(f"(f => {{ f.value = '{value}'; f.dispatchEvent(new Event('{event}')); }})({field})")

    set_value("search", "teapot concept-09", "input")
    assert browser.value(shown) == 50
    set_value("state", "stale", "change")
    assert 10 < browser.value(shown) < 25
    assert "of 1000 concepts" in browser.value("found.textContent")
    set_value("search", "", "input")
    set_value("state", "serving", "change")
    assert browser.value(shown) == 100
    set_value("order", "clip_i", "change")
    assert browser.value("document.querySelector('.concept').dataset.name") == "concept-0000"
    assert browser.complaints == []
    assert [address for address in browser.requests if address.startswith("http")] == []
