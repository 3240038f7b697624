"""Taking an image down: production, versions, sets; killed anywhere and carried on; and it never comes back."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import tasks.promotion.promotion
import tasks.store.s3
import tasks.takedown.takedown
from flows.cli.app import app
from model.errors import InputError
from tasks.concepts.concepts import load_concept
from tasks.concepts.image_origins import ImageOrigin, image_origins, write_origins
from tasks.concepts.image_sets import image_set
from tasks.concepts.takedown_records import read_takedowns
from tasks.dvc.command import dvc_add
from tasks.execution.preflight import check_jobs
from tasks.files.hashing import file_digest
from tasks.jobs.jobs import plan_jobs
from tasks.lineage.index import open_index
from tasks.plan.plan import make_plan
from tasks.production.ledger import Ledger, read_ledger
from tasks.production.registry import open_production
from tasks.project.settings import Settings, load_settings
from tasks.promotion.challengers import challengers, gate
from tasks.promotion.policy import load_policy
from tasks.promotion.promotion import check_production, put_into_production
from tasks.promotion.source import find_source, refuse_for_good
from tasks.registry.all_versions import registered_versions
from tasks.registry.reference import CANDIDATE, CHAMPION, VersionReference
from tasks.registry.registration import register
from tasks.registry.versions import REVOKED_TAG, model_name
from tasks.store.store import open_store
from tasks.takedown.plan import TakedownPlan, plan_takedown
from tasks.takedown.takedown import take_down
from tasks.tracking.client import connect
from tasks.upkeep.reconciliation import reconcile
from tests.data_project import commit, photo
from tests.kills import killed_at
from tests.lineage_project import CONCEPT, copy_of, remember, train
from tests.tasks.finished_training import migrated_database

NAME, PRODUCTION = model_name(CONCEPT), f"prod.{model_name(CONCEPT)}"
ADDED = "03.png"


@pytest.fixture(scope="module")
def promoted(lineage_project, tmp_path_factory) -> Iterator[Settings]:
    """Version 3 saw a fourth image; versions 2 and then 3 were promoted. Tests copy it."""
    settings = copy_of(lineage_project.settings, tmp_path_factory.mktemp("takedown") / "project")
    concept = load_concept(settings, CONCEPT)
    photo(70, 64, 48).save(concept.images / ADDED)
    origin = ImageOrigin(
        file=ADDED,
        sha256=file_digest(concept.images / ADDED),
        original="IMG_3.jpg",
        original_sha256="3" * 64,
    )
    write_origins(concept.folder, [*image_origins(concept), origin])
    dvc_add(settings, concept.images)
    commit(settings.root)
    made = train(settings)
    remember(made, register(settings, concept, made.manifests).version)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.promotion.promotion, "smoke_test", lambda *_: (16, 16))
        for version in (2, 3):
            promote(settings, version)
    yield settings


@pytest.fixture
def settings(promoted: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    root = tmp_path / "project"
    shutil.copytree(promoted.root, root, symlinks=True)
    monkeypatch.setattr(tasks.promotion.promotion, "smoke_test", lambda *_: (16, 16))
    monkeypatch.chdir(root)
    return load_settings(root)


def promote(settings: Settings, version: int) -> None:
    place, store = check_production(settings), open_store(settings)
    source = find_source(settings, store, VersionReference.parse(f"{CONCEPT}/{version}"))
    ledger = read_ledger(place, CONCEPT)
    refuse_for_good(settings, store, ledger, source)
    put_into_production(settings, place, ledger, source, (), {}, reason="better", approved_by=None)


def planned(settings: Settings, asked: str) -> TakedownPlan:
    store = open_store(settings)
    with open_index(settings, store) as index:
        return plan_takedown(settings, store, open_production(settings), index, asked)


def taken(settings: Settings, asked: str, reason: str = "consent was withdrawn"):
    plan = planned(settings, asked)
    return take_down(settings, open_store(settings), open_production(settings), plan, reason=reason)


def ledger_of(settings: Settings) -> Ledger:
    return read_ledger(open_production(settings), CONCEPT)


def image(settings: Settings, name: str = ADDED) -> Path:
    return load_concept(settings, CONCEPT).images / name


def aliases(settings: Settings, name: str = NAME) -> dict[str, int]:
    return {alias: int(number) for alias, number in connect(settings).get_registered_model(name).aliases.items()}


def revoked_versions(settings: Settings, name: str = NAME) -> list[int]:
    found = connect(settings).search_model_versions(f"name = '{name}'")
    return sorted(int(version.version) for version in found if REVOKED_TAG in version.tags)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["takedown", *map(str, arguments)])


def test_production_goes_back_to_what_did_not_see_it_and_the_set_to_what_it_was(settings):
    sha256, before = file_digest(image(settings)), (image(settings).parents[1] / "concept.yaml").read_bytes()
    plan = planned(settings, "3" * 64)  # as it was brought
    assert [(s.version, s.in_production) for s in plan.seen_by] == [(3, True)]
    assert [(m.serving.version, m.instead.version) for m in plan.moves] == [(3, 2)]
    assert [(c.member.file, c.left, c.obstacle) for c in plan.sets] == [(ADDED, 3, None)]

    done = taken(settings, "3" * 64)
    head = ledger_of(settings).serving
    assert (head.action, head.version, head.withdraws) == ("revoke", 2, plan.revoked[CONCEPT])
    assert head.reason == "an image was taken down (takedown 1): consent was withdrawn"
    assert aliases(settings) == {CANDIDATE: 2, CHAMPION: 2}
    assert aliases(settings, PRODUCTION) == {CHAMPION: 1}
    assert (revoked_versions(settings), revoked_versions(settings, PRODUCTION)) == ([3], [2])
    assert reconcile(settings) == []

    concept = load_concept(settings, CONCEPT)
    version = connect(settings).get_model_version(NAME, "2")
    assert image_set(settings, concept).digest == version.tags["conceptbooth.data_version"]
    assert sorted(path.name for path in concept.images.iterdir()) == ["00.png", "01.png", "02.png"]
    assert [origin.file for origin in image_origins(concept)] == ["00.png", "01.png", "02.png"]
    assert (concept.folder / "concept.yaml").read_bytes() == before
    (state,) = make_plan(settings, [CONCEPT]).concepts
    assert (state.state, state.causes) == ("stale", (f"images: -1 ({ADDED})",))  # retraining follows from the set

    (record,) = read_takedowns(open_store(settings)).takedowns
    assert record == done.takedown and record.finished and record.reason == "consent was withdrawn"
    assert set(record.images) == {sha256, "3" * 64}
    assert record.found["production"] == [{"concept": "owl", "version": 3, "instead": {"version": 2, "seq": 1}}]
    assert not planned(settings, sha256).to_do


STEPS = [
    (tasks.takedown.takedown, "begin_takedown", True),
    (tasks.promotion.promotion, "append", True),
    (tasks.promotion.promotion, "follow_ledger", True),
    (tasks.takedown.takedown, "mark_versions", False),
    (tasks.takedown.takedown, "mark_versions", True),
    (tasks.takedown.takedown, "dvc_add", False),
    (tasks.takedown.takedown, "dvc_add", True),
    (tasks.takedown.takedown, "write_origins", True),
    (tasks.takedown.takedown, "finish_takedown", False),
]


@pytest.mark.parametrize("step", [("dvc_add", False), ("finish_takedown", False), ("finish_takedown", True)], ids=str)
def test_named_by_a_file_that_has_left_its_set_the_same_command_carries_on(settings, step):
    """Killed when the file is gone: only the record knows what its name stood for."""
    named = str(image(settings))
    killed_at(tasks.takedown.takedown, *step, taken, settings, named)
    assert not Path(named).exists()
    assert planned(settings, named).to_do is not step[1]  # killed at its very end it has nothing left to do
    if not step[1]:
        done = taken(settings, named)
        assert done.takedown.number == 1 and done.takedown.finished
    assert len(read_takedowns(open_store(settings)).takedowns) == 1
    with pytest.raises(InputError, match="there is no such file"):
        planned(settings, f"{named}.another")


def test_killed_between_any_two_steps_the_same_command_carries_on(settings):
    """One takedown that is killed nine times, each time a step further."""
    sha256 = file_digest(image(settings))
    for module, step, after in STEPS:
        killed_at(module, step, after, taken, settings, sha256)
        (record,) = read_takedowns(open_store(settings)).takedowns
        assert record.finished is None and planned(settings, sha256).to_do
    done = taken(settings, sha256, reason="another one")
    (record,) = read_takedowns(open_store(settings)).takedowns
    assert record == done.takedown and record.finished and record.reason == "consent was withdrawn"
    assert [(r.action, r.version) for r in ledger_of(settings).records] == [
        ("promote", 2),
        ("promote", 3),
        ("revoke", 2),
    ]
    assert (aliases(settings), revoked_versions(settings)) == ({CANDIDATE: 2, CHAMPION: 2}, [3])
    concept = load_concept(settings, CONCEPT)
    assert not image(settings).exists() and len(image_origins(concept)) == 3
    assert image_set(settings, concept).state == "uncommitted"  # DVC has it on record
    assert not planned(settings, sha256).to_do and reconcile(settings) == []


def test_what_everyone_saw_leaves_nothing_to_serve_and_never_comes_back(settings, lineage_project, monkeypatch):
    first = image(settings, "00.png")
    content = first.read_bytes()
    result = run(first, "--reason", "the licence ended", "--yes")
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "image set of owl, 00.png: 3 images left: the next night trains on them" in said
    assert "owl: version 3 leaves production; nothing serves instead" in said
    assert "Taken down: takedown 1, 3 registered versions revoked" in said and "git add data/concepts/owl" in said
    assert (ledger_of(settings).serving, aliases(settings), aliases(settings, PRODUCTION)) == (None, {}, {})
    assert (revoked_versions(settings), revoked_versions(settings, PRODUCTION)) == ([1, 2, 3], [1, 2])

    today = ledger_of(settings).head.at[:10]
    why = f"{today} (record 3): an image was taken down (takedown 1): the licence ended"
    invoke = CliRunner().invoke
    for command in (["promote", CONCEPT, "--version", "2"], ["generate", CONCEPT, "a {}"]):
        refused = invoke(app, command)
        assert refused.exit_code == 2 and f"was revoked on {why}" in " ".join(refused.output.split())
    assert "no earlier promotion can serve" in invoke(app, ["rollback", CONCEPT]).output
    refused = invoke(app, ["rollback", CONCEPT, "--to", "1"])
    assert "promotion 1 (version 2) was revoked by record 3" in " ".join(refused.output.split())
    assert invoke(app, ["releases"]).stdout.count("(revoked)") == 2
    shown = json.loads(invoke(app, ["lineage", f"{CONCEPT}/1", "--json"]).stdout)["revoked"]
    assert (shown["seq"], shown["reason"]) == (3, "an image was taken down (takedown 1): the licence ended")
    tree = " ".join(invoke(app, ["lineage", f"{CONCEPT}/1"]).stdout.replace("│", " ").split())
    assert f"revoked on {why}" in tree
    found = json.loads(invoke(app, ["lineage", "--image", hashlib.sha256(content).hexdigest(), "--json"]).stdout)[
        "found"
    ]
    assert {sighting["revoked"] for sighting in found} == {why}

    connect(settings).set_registered_model_alias(NAME, CANDIDATE, "3")  # by hand: the night's gate must see through it
    policy, versions = load_policy(settings), registered_versions(settings)
    verdicts = gate(settings, open_store(settings), policy, challengers(settings, versions.values(), policy, CANDIDATE))
    assert not verdicts[CONCEPT].passed and verdicts[CONCEPT].said == f"was revoked on {why}"

    added = ["add", "owl-again", *map(str, lineage_project.originals), "--category", "turtle", "--json"]
    refused = invoke(app, added)
    assert refused.exit_code == 2 and json.loads(refused.stderr)["problems"] == [
        f"{lineage_project.originals[0]}: was taken down on {today} (takedown 1): the licence ended; "
        "it is not taken in again"
    ]
    with monkeypatch.context() as away:
        away.setattr(tasks.store.s3, "_TRIES", 1)
        away.setenv("CONCEPTBOOTH_STORE", "s3://away/store")
        away.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
        hints = json.loads(invoke(app, added).stdout)["hints"]
    assert hints[0].startswith("whether one of the images was taken down is not known, training asks again: store s3:")
    with pytest.raises(InputError, match=r"concept 'owl-again': images/00.png was taken down on .* the licence ended"):
        check_jobs(settings, plan_jobs(settings, ["owl-again"]))

    first.write_bytes(content)
    with pytest.raises(InputError, match=r"concept 'owl': images/00.png was taken down on .* the licence ended"):
        check_jobs(settings, plan_jobs(settings, [CONCEPT]))
    (state,) = make_plan(settings, [CONCEPT]).concepts
    assert state.state == "problem"


def test_what_was_registered_after_the_takedown_is_not_promoted_and_a_second_takedown_finds_it(settings):
    """A training that had read the image already goes on while it is taken down."""
    sha256 = file_digest(image(settings))
    contents = planned(settings, sha256).revoked
    store, place = open_store(settings), open_production(settings)
    plan = planned(settings, sha256)
    take_down(settings, store, place, replace(plan, seen_by=(), moves=()), reason="consent was withdrawn")
    assert ledger_of(settings).serving.version == 3
    with pytest.raises(
        InputError, match=r"version 3 saw an image that was taken down on .* no override brings it back"
    ):
        promote(settings, 3)
    taken(settings, sha256)
    assert ledger_of(settings).serving.version == 2 and ledger_of(settings).serving.withdraws == contents[CONCEPT]
    assert [t.number for t in read_takedowns(store).takedowns] == [1, 2]


def test_a_damaged_release_does_not_stand_in(settings):
    record = ledger_of(settings).records[0]
    weights = next((settings.store / "releases" / CONCEPT / record.release[:16]).rglob("concept.safetensors"))
    weights.chmod(0o644)
    weights.write_bytes(b"\0" * weights.stat().st_size)
    taken(settings, file_digest(image(settings)))
    head = ledger_of(settings).head
    assert (head.action, head.release, aliases(settings, PRODUCTION)) == ("revoke", None, {})


def test_of_what_was_never_promoted_the_ledger_begins_with_the_revocation(settings, tmp_path):
    shutil.copyfile(migrated_database(), tmp_path / "production.db")
    changes = {
        "production_store": tmp_path / "production",
        "production_tracking_uri": f"sqlite:///{tmp_path}/production.db",
    }
    elsewhere = settings.model_copy(update=changes)
    connect(settings).set_registered_model_alias(NAME, CHAMPION, "1")  # by hand
    taken(elsewhere, file_digest(image(settings)))
    (record,) = ledger_of(elsewhere).records
    assert (record.action, record.release, revoked_versions(settings)) == ("revoke", None, [3])
    assert aliases(settings) == {CANDIDATE: 2, CHAMPION: 1}
    with pytest.raises(InputError, match="concept 'owl' version 3 was revoked"):
        promote(elsewhere, 3)
    promote(elsewhere, 2)
    assert ledger_of(elsewhere).serving.version == 2


def test_sets_are_changed_where_they_can_be_and_the_others_are_left_to_their_owner(settings):
    concept = load_concept(settings, CONCEPT)
    sample = settings.concepts_dir / "turtle" / "images" / "05.png"  # a set that DVC makes
    shutil.copyfile(image(settings), sample)
    out = {"path": "data/concepts/turtle/images", "md5": f"{'0' * 32}.dir"}
    (settings.root / "dvc.lock").write_text(
        json.dumps({"schema": "2.0", "stages": {"samples@turtle": {"outs": [out]}}})
    )
    sha256 = file_digest(image(settings))
    shutil.rmtree(concept.images)  # not checked out: it comes from DVC's cache
    result = run(sha256, "--reason", "consent was withdrawn", "--yes", "--json")
    assert result.exit_code == 1, result.output  # it is still in one of them
    sets = json.loads(result.stdout)["sets"]
    assert [(entry["concept"], entry["file"], entry["left"]) for entry in sets] == [
        (CONCEPT, ADDED, 3),
        ("turtle", "05.png", 5),
    ]
    assert "its images are made by dvc.yaml (dvc.lock)" in sets[1]["obstacle"] and sample.exists()
    assert sorted(path.name for path in concept.images.iterdir()) == ["00.png", "01.png", "02.png"]
    assert read_takedowns(open_store(settings)).takedowns[0].finished
    with pytest.raises(InputError, match=r"concept 'turtle': images/05.png was taken down on"):
        check_jobs(settings, plan_jobs(settings, ["turtle"]))


def test_it_is_planned_confirmed_and_done_once(settings, tmp_path):
    everything = {path: path.read_bytes() for path in settings.root.rglob("*") if path.is_file()}
    shown = json.loads(run(image(settings), "--dry-run", "--json").stdout)
    assert (shown["done"], shown["takedown"]) == (False, None)
    assert [entry["version"] for entry in shown["versions"]] == [3]
    for arguments, said in (
        ((image(settings),), "--reason TEXT is needed"),
        ((image(settings), "--reason", " "), "--reason TEXT is needed"),
        ((image(settings), "--reason", "x"), "nobody is here to be asked; look at it with --dry-run, then say --yes"),
        (
            ("0" * 64, "--reason", "x", "--yes"),
            "looked through 3 trainings in the store and all image sets",
        ),
        (("photo.jpg", "--reason", "x", "--yes"), "there is no such file, and it is no sha256"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2 and said in " ".join(result.output.split())
    kept = {path: path.read_bytes() for path in settings.root.rglob("*") if path.is_file()}
    changed = {path.relative_to(settings.root).as_posix() for path in kept if kept[path] != everything.get(path)}
    assert all(path.startswith((".conceptbooth/lineage-", ".conceptbooth/locks", ".git")) for path in changed), changed

    done = json.loads(run(image(settings), "--reason", "x", "--yes", "--json").stdout)
    assert done["done"] and done["takedown"]["number"] == 1 and done["takedown"]["finished"]
    again = run("3" * 64, "--reason", "x", "--yes")
    assert again.exit_code == 0 and "Nothing is left to do" in again.stdout
    assert len(ledger_of(settings).records) == 3

    in_cache, in_store, shown_small = done["remains"]
    assert shown_small["where"].startswith("galleries of versions that saw it")
    assert in_cache["where"].startswith("DVC's cache, ") and "dvc gc" in in_cache["let_go_by"]
    for each in (in_cache, in_store):
        assert each["where"] in again.stdout
        Path(each["where"].partition(", ")[2]).unlink()  # where it said, and nowhere else
    left = run("3" * 64, "--reason", "x").stdout
    assert "galleries" in left and in_cache["where"] not in left and in_store["where"] not in left
