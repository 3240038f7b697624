"""All concepts at a glance: what the cards say of a trained one, an untrained one, a broken one, and what serves."""

import shutil
from pathlib import Path

from tasks.booth.draft_checks import sorted_out
from tasks.booth.overview import read_overview
from tasks.booth.visitors import BroughtFile
from tests.lineage_project import Trained, copy_of
from tests.tasks.lineage.test_lineage import promoted


def test_cards_say_state_scores_picture_and_what_serves(lineage_project: Trained, tmp_path: Path):
    settings = copy_of(lineage_project.settings, tmp_path / "project")
    broken = settings.concepts_dir / "broken"
    shutil.copytree(settings.concepts_dir / "turtle", broken)
    (broken / "concept.yaml").write_text("super_category: 3\n")
    with promoted(settings, lineage_project.last):
        overview = read_overview(settings)
    owl, turtle, bad = (overview.card(name) for name in ("owl", "turtle", "broken"))
    assert owl and turtle and bad and [card.name for card in overview.cards] == ["broken", "owl", "turtle"]
    assert (owl.state, owl.version, owl.serving, owl.category) == ("up to date", 2, "version 2", "turtle")
    assert set(owl.scores) >= {"clip_i", "clip_t"} and owl.picture is not None
    assert (turtle.state, turtle.version, turtle.picture, turtle.image) == ("not trained", None, None, "00.png")
    assert bad.state == "problem" and "super_category" in bad.why[0] and bad.category is None

    (settings.root / "params.yaml").write_text("nonsense: 1\n")
    unread = read_overview(settings)
    assert {card.state for card in unread.cards} == {"unknown"} and unread.notes


def test_each_sentence_stands_at_its_picture_or_field_without_folders():
    folder = Path("/home/booth/visitors/abc/drafts/def")
    files = [BroughtFile(number=f"00{n}", name="a.png", path=folder / f"00{n}" / "a.png", size=1) for n in (1, 2, 3)]
    one, two = files[0].path, files[1].path
    found = sorted_out(
        [
            f"{one}: empty, 0 bytes",
            f"{one} and {two} hold the same picture: keep one of them",
            "concept name 'X': small letters are needed",
            '--category is empty; say it as in --category "stuffed animal"',
            "0 usable images",
        ],
        files,
    )
    assert found.files["001"] == ["empty, 0 bytes", "a.png and a.png hold the same picture: keep one of them"]
    assert found.files["002"] == ["a.png and a.png hold the same picture: keep one of them"]
    assert "003" not in found.files
    assert found.fields["name"] and found.fields["category"] == ['category is empty; such as category "stuffed animal"']
    assert found.others == ("0 usable images",)
