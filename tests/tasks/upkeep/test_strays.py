"""One bad thing stops one thing: what lies about in a project or a store costs its own concept, or nothing."""

import os
from pathlib import Path

import pytest

from model.errors import InputError
from tasks.concepts.concepts import concept_names
from tasks.concepts.takedown_records import read_takedowns
from tasks.jobs.jobs import plan_jobs, survey
from tasks.lineage.index import open_index
from tasks.plan.plan import make_plan
from tasks.production.ledger import concepts_in, read_ledger
from tasks.project.settings import Settings
from tasks.registry.store_records import other_registries
from tasks.store.store import open_blobs, open_store
from tasks.takedown.plan import plan_takedown
from tasks.upkeep.gc import clear_up
from tests.data_project import photo
from tests.training_project import add_concept

STRAYS = (
    ".DS_Store",
    ".nfs000000000004",
    "Thumbs.db",
    "notes.txt",
    "a/deeper/down/file",
    ".Trash/000001.json",
    "x.json",
)


@pytest.fixture
def two(project: Settings) -> Settings:
    """A project with `turtle`, which is all right, and `teapot`."""
    add_concept(project.root, "teapot", first_photo=20)
    return project


def dangling(path: Path) -> None:
    path.symlink_to("nothing-here.png")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def loop(path: Path) -> None:
    path.symlink_to(path.parent, target_is_directory=True)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unreadable(path: Path) -> None:
    photo(90, 48, 48).save(path)
    path.chmod(0)


def unreadable_folder(path: Path) -> None:
    path.with_suffix("").mkdir(mode=0)


def not_utf8(path: Path) -> None:
    photo(91, 48, 48).save(Path(os.fsdecode(os.fsencode(path.parent) + b"/caf\xe9.png")))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (dangling, "zz.png: is a link to nothing"),
        (link_to_itself, "zz.png: is a link to nothing"),
        (loop, "is a link to a folder that it lies in"),
        (os.mkfifo, "zz.png: is a device, a pipe or a socket"),
        (device, "zz.png: is a device, a pipe or a socket"),
        (unreadable, "zz.png: cannot be read (Permission denied)"),
        (unreadable_folder, "zz: cannot be read (Permission denied)"),
        (not_utf8, "caf\\udce9.png: has a name that is not UTF-8"),
    ],
)
def test_what_is_no_image_file_costs_its_own_concept_alone(two, make, said):
    if make in (unreadable, unreadable_folder) and os.geteuid() == 0:
        pytest.skip("root reads everything")
    images = two.concepts_dir / "teapot" / "images"
    make(images / "zz.png")
    found = survey(two, ["teapot", "turtle"])
    assert [job.concept.name for job in found.jobs] == ["turtle"]
    (problem,) = found.problems["teapot"]
    assert said in problem
    assert problem.startswith("concept 'teapot': ")
    assert {concept.concept: concept.state for concept in make_plan(two, ["teapot", "turtle"]).concepts} == {
        "teapot": "problem",
        "turtle": "stale",
    }
    with pytest.raises(InputError, match=r"concept 'teapot'.*nothing is removed before that is mended"):
        clear_up(two, dry_run=True, on_wait=lambda: None)


def test_a_takedown_says_which_set_could_not_be_looked_at(two):
    os.mkfifo(two.concepts_dir / "teapot" / "images" / "zz.png")
    image = two.concepts_dir / "turtle" / "images" / "00.png"
    with open_index(two, open_store(two)) as index:
        planned = plan_takedown(two, open_store(two), open_blobs(two, two.production_store), index, str(image))
    assert [(change.member.concept, change.member.file) for change in planned.sets] == [("turtle", "00.png")]
    assert any("teapot" in note and "pipe" in note for note in planned.notes)


def test_what_lies_beside_the_concepts_is_passed_over(two):
    place = os.fsencode(two.concepts_dir)
    Path(os.fsdecode(place + b"/caf\xe9")).mkdir()
    Path(os.fsdecode(place + b"/caf\xe9.txt")).touch()
    (two.concepts_dir / "nowhere").symlink_to("nothing")
    (two.concepts_dir / "itself").symlink_to("itself")
    os.mkfifo(two.concepts_dir / "pipe")
    assert concept_names(two) == ["teapot", "turtle"]
    assert len(plan_jobs(two, ["teapot", "turtle"])) == 2


@pytest.mark.parametrize("stray", STRAYS)
@pytest.mark.parametrize("kind", ["file", "dangling link", "pipe"])
def test_strays_in_a_store_stop_nothing(two, stray, kind):
    store = open_store(two)
    for room in ("stages", "stages/prepare", f"stages/prepare/{'a' * 64}", "cas/sha256", "cas/sha256/ab", "takedowns"):
        _leave(two.store / room / stray, kind)
    for room in ("registries", "registries/some", "concepts", "concepts/elsewhere", "promotions", "promotions/teapot"):
        if stray != "x.json" or not room.endswith(("some", "elsewhere", "teapot")):  # that is a record's own name
            _leave(two.store / room / stray, kind)
    assert [concept.state for concept in make_plan(two, ["turtle"]).concepts] == ["stale"]
    assert read_takedowns(store).takedowns == ()
    assert other_registries(store, two) == []
    place = open_blobs(two, two.production_store)
    assert concepts_in(place) == []
    assert read_ledger(place, "teapot").records == ()
    clearing = clear_up(two, dry_run=True, on_wait=lambda: None)
    assert clearing.asked.concepts == ()
    assert store.artefacts() == set()


def _leave(path: Path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        path.write_bytes(b"\0\1\2")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nothing")
