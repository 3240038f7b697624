"""The auditor's page in a real browser: nothing from elsewhere, links that work, readable on a phone and a desk."""

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli.app import app
from flows.lineage.lineage import show_lineage
from tasks.registry.reference import VersionReference
from tests.browser import Page, find_browser, open_browser
from tests.lineage_project import Trained
from tests.tasks.lineage.test_lineage import flipped, promoted

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine")
WIDTHS = (400, 1400)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture(scope="module")
def written(lineage_project: Trained, tmp_path_factory) -> Path:
    page = tmp_path_factory.mktemp("page") / "lineage.html"
    assert (
        show_lineage(lineage_project.settings, VersionReference.parse("owl"), proved=True, as_json=False, page=page)
        == 0
    )
    return page


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_readable_and_asks_nothing_of_anyone(browser: Page, written: Path, width: int, tmp_path: Path):
    browser.complaints.clear()
    browser.requests.clear()
    browser.show(written, width)
    assert browser.complaints == []
    assert {address.split(":")[0] for address in browser.requests} <= {"file", "data"}
    assert browser.value("document.documentElement.scrollWidth") <= width
    outside = f"e.getBoundingClientRect().right > {width}"
    too_small = "parseFloat(getComputedStyle(e).fontSize) < 12"
    shown = "[...document.querySelectorAll('main *, header *')].filter(e => e.offsetParent && !e.closest('.scroll'))"
    assert browser.value(f"{shown}.filter(e => {outside} || {too_small}).length") == 0
    assert browser.value("[...document.images].every(i => i.naturalWidth > 0)")
    browser.screenshot(tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.width == width and len(picture.convert("RGB").getcolors(1 << 24)) > 500


@pytest.mark.parametrize("width", WIDTHS)
def test_the_chain_is_drawn_in_order_and_every_box_leads_to_its_details(browser: Page, written: Path, width: int):
    browser.show(written, width)
    titles = browser.value("[...document.querySelectorAll('.chain .box strong')].map(e => e.textContent)")
    assert titles == [
        "images",
        "prepared",
        "stage 1, embedding",
        "stage 2, cross attention",
        "stage 3, unet",
        "evaluation",
        "version 2",
    ]
    corners = browser.value(
        "[...document.querySelectorAll('.chain .box')].map(e => [e.getBoundingClientRect().left, "
        "e.getBoundingClientRect().top])"
    )
    assert corners == sorted(corners, key=lambda corner: corner[0 if width == 1400 else 1])
    links = browser.value("document.querySelectorAll('a').length")
    assert links > len(titles)
    for place in range(links):
        browser.value(f"document.querySelectorAll('a')[{place}].click()")
        assert browser.value("document.querySelector(':target') !== null"), place
        top = browser.value("document.querySelector(':target').getBoundingClientRect().top")
        assert -1 <= top < 900


def test_a_fault_is_on_the_page_at_its_place_and_the_page_is_written_all_the_same(
    browser: Page, lineage_project: Trained, tmp_path: Path
):
    page = tmp_path / "lineage.html"
    picture = lineage_project.last.manifests["prepare"].files["images/01.png"].sha256
    settings = lineage_project.settings
    with flipped(settings.store / "cas" / "sha256" / picture[:2] / picture):
        assert show_lineage(settings, VersionReference.parse("owl"), proved=True, as_json=False, page=page) == 1
    browser.show(page, 1400)
    assert browser.value("document.querySelector('.verdict').className") == "verdict fault"
    faulty = "[...document.querySelectorAll('.box.fault strong')].map(e => e.textContent)"
    assert "prepared" in browser.value(faulty)
    assert browser.value("document.querySelectorAll('.lost').length") == 1


def test_promotions_are_shown_with_their_gates_and_what_was_passed_over(browser, lineage_project, tmp_path):
    page = tmp_path / "lineage.html"
    with promoted(lineage_project.settings, lineage_project.first):
        assert (
            show_lineage(
                lineage_project.settings, VersionReference.parse("owl/1"), proved=False, as_json=False, page=page
            )
            == 0
        )
    browser.show(page, 400)
    assert browser.value("document.querySelector('.chain li:last-child strong').textContent") == "production"
    told = browser.value("document.querySelector('#promotions').closest('section').textContent")
    for words in ("Record 1", "tester", "git_clean (nothing that matters)", "scores"):
        assert words in told
    assert browser.value("document.documentElement.scrollWidth") <= 400
    browser.show(page, 1400)  # the longest chain: no title is broken inside a word
    titles = "[...document.querySelectorAll('.box strong')]"
    whole = "e => { e.style.overflowWrap = 'normal'; return e.scrollWidth <= e.clientWidth; }"
    assert browser.value(f"{titles}.every({whole})")


def test_where_the_page_cannot_be_written_is_said_before_any_work(
    lineage_project: Trained, tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(lineage_project.settings.root)
    said = CliRunner().invoke(app, ["lineage", "owl", "--html", str(tmp_path / "no" / "where.html")])
    assert said.exit_code == 2 and "there is no folder" in said.stderr
