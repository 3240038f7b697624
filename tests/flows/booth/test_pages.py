"""The booth in a real browser, at the width of a phone and of a desk: what people see, draw, bring and train."""

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.booth import booth as booth_module
from flows.booth.booth import Booth
from model.marks.marking import read_mark
from tasks.booth.overview import ConceptCard, Overview
from tasks.concepts.concepts import load_concept
from tasks.concepts.image_origins import image_origins
from tasks.plan.last_training import read_last_training
from tasks.project.settings import apply_environment
from tasks.store.store import open_store
from tests.browser import Page, find_browser, open_browser
from tests.data_project import photo
from tests.flows.booth.served import serving
from tests.lineage_project import Trained, under_version_control
from tests.training_project import make_training_project

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine")
PHONE, DESK = 390, 1280
DRAWN = "!!document.querySelector('.drawing[data-state=done]')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Page]:
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def address(lineage_project: Trained) -> Iterator[str]:
    """A booth of a project with one concept, `owl`, of which two versions are registered."""
    apply_environment(lineage_project.settings)
    with serving(Booth(lineage_project.settings, read_only=False)) as place:
        yield place
    shutil.rmtree(lineage_project.settings.home / "booth", ignore_errors=True)


def assert_readable(browser: Page, width: int, address: str) -> None:
    """Nothing reaches out of the page, nothing is too small to read or to touch, and nobody else was asked."""
    assert browser.complaints == []
    own = (address, "blob:", "data:", "about:")
    assert [request for request in browser.requests if not request.startswith(own)] == []
    assert browser.value("document.documentElement.scrollWidth") <= width
    shown = "[...document.querySelectorAll('main *, header *')].filter(e => e.offsetParent)"
    assert browser.value(f"{shown}.filter(e => e.getBoundingClientRect().right > {width} + 0.5).length") == 0
    assert browser.value(f"{shown}.filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length") == 0
    touched = (
        "[...document.querySelectorAll('.button, .chip, select, input:not([type=file])')].filter(e => e.offsetParent)"
    )
    assert browser.value(f"{touched}.filter(e => e.getBoundingClientRect().height < 28).length") == 0
    browser.value("document.querySelectorAll('img').forEach(image => { image.loading = 'eager' })")
    browser.until("[...document.images].every(image => image.naturalWidth > 0)")


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_every_page_is_readable_and_asks_nobody_else(browser: Page, address: str, width: int):
    browser.complaints.clear()
    browser.requests.clear()
    browser.show(f"{address}/", width)
    assert browser.value("[...document.querySelectorAll('.card strong')].map(e => e.textContent)") == ["owl", "turtle"]
    assert_readable(browser, width, address)
    browser.show(f"{address}/c/owl", width)
    assert_readable(browser, width, address)
    assert browser.value("document.querySelectorAll('#gallery .scene').length") == 2
    assert browser.value("document.querySelectorAll('#attention .look').length") == 3
    seen = browser.value("[...document.querySelectorAll('#images li')].map(e => e.innerText.split('\\n').pop())")
    assert seen == ["seen by versions 1 and 2"] * 3
    browser.show(f"{address}/c/owl?version=1", width)
    assert browser.value("document.querySelector('#shown-version').value") == "1"
    browser.show(f"{address}/new", width)
    assert_readable(browser, width, address)


def test_two_versions_draw_side_by_side_and_only_their_visitor_sees_it(
    browser: Page, address: str, lineage_project: Trained
):
    browser.show(f"{address}/c/owl", PHONE)
    browser.value("document.querySelector('[data-prompt=\"a {} on the beach\"]').click()")
    browser.value("document.getElementById('negative').value = 'snow'")
    for field, value in {"version": "1", "other": "2", "count": "2", "seed": "7"}.items():
        browser.value(f"document.getElementById('{field}').value = '{value}'")
    browser.value("document.querySelector('#drawing button[type=submit]').click()")
    browser.until(DRAWN, seconds=240)
    called = browser.value("[...document.querySelectorAll('.side h3')].map(e => e.textContent)")
    pictures = browser.value("[...document.querySelectorAll('.side img')].map(e => e.getAttribute('src'))")
    assert called == ["version 1", "version 2"] and len(pictures) == 4
    browser.until("[...document.querySelectorAll('.side img')].every(image => image.naturalWidth > 0)")
    assert browser.value("document.documentElement.scrollWidth") <= PHONE
    files = sorted((lineage_project.settings.home / "booth").rglob("*.png"))
    marks = [read_mark(file) for file in files]
    assert sorted((mark.version, mark.index) for mark in marks) == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert {(mark.prompt, mark.negative_prompt, mark.seed) for mark in marks} == {("a {} on the beach", "snow", 7)}

    browser.show(f"{address}/c/owl", DESK)  # the same visitor finds it again
    browser.until(DRAWN, seconds=240)
    identity = pictures[0].split("/")[2]
    for place in (f"/drawings/{identity}", *pictures):  # another browser does not, whatever it knows
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address + place)
    with urllib.request.urlopen(f"{address}/c/owl/drawings") as answer:
        assert json.load(answer) == []


def test_a_thousand_concepts_are_filtered_and_sorted(browser: Page, lineage_project: Trained, monkeypatch):
    cards = [
        ConceptCard(
            name=f"thing-{number:04}",
            category="teapot" if number % 2 else "owl",
            state="to train" if number % 10 == 0 else "up to date",
            serving="version 1" if number % 4 == 0 else None,
            version=1,
            scores={"clip_i": number / 1000, "clip_t": 0.3},
        )
        for number in range(1000)
    ]
    monkeypatch.setattr(booth_module, "read_overview", lambda settings: Overview(cards=tuple(cards)))
    with serving(Booth(lineage_project.settings, read_only=True)) as crowded:
        browser.show(f"{crowded}/", PHONE)
        browser.value(
            "document.getElementById('find').value = 'teapot 09';"
            "document.getElementById('find').dispatchEvent(new Event('input'))"
        )
        shown = "[...document.querySelectorAll('.card:not([hidden]) strong')].map(e => e.textContent)"
        wanted = [card.name for card in cards if card.category == "teapot" and "09" in card.name]
        assert browser.value(shown) == wanted and 50 < len(wanted) < 100
        browser.value("document.querySelector('.chip[data-state=\"to train\"]').click()")
        assert browser.value(f"{shown}.length") == 0 and not browser.value("document.getElementById('nothing').hidden")
        browser.value("document.getElementById('clear').click()")
        browser.value("document.querySelector('.chip[data-state=\"serving\"]').click()")
        browser.value(
            "document.getElementById('sort').value = 'likeness';"
            "document.getElementById('sort').dispatchEvent(new Event('change'))"
        )
        assert browser.value(shown)[:2] == ["thing-0996", "thing-0992"]
        assert browser.value("document.getElementById('count').textContent") == "250 of 1000 concepts"
        assert browser.value("document.documentElement.scrollWidth") <= PHONE
    shutil.rmtree(lineage_project.settings.home / "booth", ignore_errors=True)


def test_pictures_are_dropped_mended_added_and_trained(
    browser: Page, base_folder: Path, evaluator_folder: Path, tmp_path: Path
):
    settings = make_training_project(tmp_path / "project", base_folder, evaluator_folder)
    under_version_control(settings.root)
    apply_environment(settings)
    brought = tmp_path / "brought"
    brought.mkdir()
    for number in range(4):
        photo(70 + number, 64, 48).save(brought / f"fox-{number}.png")
    photo(70, 64, 48).save(brought / "fox-again.jpg", quality=90)
    photo(80, 12, 12).save(brought / "tiny.png")
    with serving(Booth(settings, read_only=False)) as address:
        browser.show(f"{address}/new", DESK)
        browser.choose_files("#files", [brought / n for n in ("fox-0.png", "fox-1.png", "fox-again.jpg", "tiny.png")])
        _write(browser, name="Red Fox", category="turtle")
        notes = "Object.fromEntries([...document.querySelectorAll('.brought li')].map(e => [e.children[1].textContent,"
        said = f"{notes} e.querySelector('.notes').textContent]))"
        browser.until("document.querySelectorAll('.brought li.bad').length == 3")
        told = browser.value(said)
        assert "nearly the same picture" in told["fox-0.png"] and told["fox-0.png"] == told["fox-again.jpg"]
        assert told["tiny.png"].startswith("12 x 12 pixels") and str(tmp_path) not in str(told)
        assert told["fox-1.png"] == ""
        assert "'red-fox'" in browser.until("document.querySelector('.problems[data-for=name]').textContent")

        _press(browser, "fox-again.jpg", "Leave out")
        _press(browser, "tiny.png", "Replace")
        browser.choose_files("#replacement", [brought / "fox-2.png"])
        _write(browser, name="red-fox", category="turtle")
        browser.until("document.getElementById('status').textContent == 'all good'")
        assert list(browser.value(said)) == ["fox-0.png", "fox-1.png", "fox-2.png"]
        browser.value("document.getElementById('add-train').click()")
        browser.until("location.pathname == '/c/red-fox' && !!document.querySelector('#progress progress')")
        concept = load_concept(settings, "red-fox")
        assert [origin.original for origin in image_origins(concept)] == ["fox-0.png", "fox-1.png", "fox-2.png"]
        assert concept.super_category == "turtle" and concept.licence == "not stated"
        assert not list((settings.home / "booth" / "visitors").rglob("fox-*"))
        # the page comes anew with the version
        browser.until("!!document.querySelector('#gallery .scene')", seconds=240)
        record = read_last_training(open_store(settings), settings, "red-fox")
        assert record is not None and record.version == 1
        progress = browser.until("document.getElementById('progress').innerText")
        assert "Trained: version 1" in progress and "red-fox train-1-embedding: made" in progress


def _write(browser: Page, **fields: str) -> None:
    for name, value in fields.items():
        browser.value(f"document.getElementById('{name}').value = '{value}'")
    browser.value("document.getElementById('new').dispatchEvent(new Event('input'))")


def _press(browser: Page, picture: str, button: str) -> None:
    card = f"[...document.querySelectorAll('.brought li')].find(e => e.children[1].textContent == '{picture}')"
    browser.value(f"[...{card}.querySelectorAll('button')].find(b => b.textContent == '{button}').click()")
