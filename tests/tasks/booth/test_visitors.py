"""What visitors brought and had drawn: theirs alone, bounded, and gone after a week."""

import os
import time
from pathlib import Path

import pytest

from model.errors import InputError
from tasks.booth import visitors
from tasks.booth.visitors import Visitor, brought, is_token, new_token, place_for, sweep_visitors
from tasks.project.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(root=tmp_path)


def test_an_id_leads_to_its_visitor_alone(settings: Settings):
    one, other = Visitor(settings, new_token()), Visitor(settings, new_token())
    identity, folder = one.new_drawing({"prompt": "a {}"})
    assert one.drawing(identity) == folder and other.drawing(identity) is None
    assert one.drawing("../drawings") is None and one.drawing(f"{identity}/.") is None
    assert is_token(new_token()) and not is_token("../../x") and not is_token(one.name) and not is_token(None)
    assert "token" not in str(folder)


def test_the_oldest_make_room(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(visitors, "MOST_DRAWINGS", 3)
    visitor = Visitor(settings, new_token())
    made = []
    for number in range(5):
        identity, folder = visitor.new_drawing({})
        os.utime(folder, (number, number))
        made.append(identity)
    assert [identity for identity, _ in visitor.drawings()] == made[:1:-1]


def test_files_of_one_name_lie_side_by_side_and_there_are_only_so_many(settings: Settings, monkeypatch):
    monkeypatch.setattr(visitors, "MOST_FILES", 2)
    visitor = Visitor(settings, new_token())
    draft = visitor.draft(visitor.new_draft())
    assert draft is not None
    for _ in range(2):
        _, path = place_for(draft, "C:\\photos\\one.jpg")
        path.write_bytes(b"x")
    assert [(file.number, file.name) for file in brought(draft)] == [("001", "one.jpg"), ("002", "one.jpg")]
    with pytest.raises(InputError, match="at most 2"):
        place_for(draft, "three.jpg")


@pytest.mark.parametrize("name", ["..", "", "/", "a/..", "\0", "." * 300])
def test_no_name_leads_out_of_the_draft(settings: Settings, name: str):
    visitor = Visitor(settings, new_token())
    draft = visitor.draft(visitor.new_draft())
    assert draft is not None
    number, path = place_for(draft, name)
    assert path.parent == draft / number and path.name not in ("", ".", "..")


def test_what_nobody_touches_goes_after_a_week(settings: Settings):
    visitor = Visitor(settings, new_token())
    (old, folder), (new, _) = visitor.new_drawing({}), visitor.new_drawing({})
    past = time.time() - visitors.KEPT_SECONDS - 60
    os.utime(folder, (past, past))
    sweep_visitors(settings)
    assert [identity for identity, _ in visitor.drawings()] == [new] and old != new
