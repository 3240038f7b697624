"""`conceptbooth adopt` with real stages, a real store and tiny models; an upgrade is another version of a library.

The tests share two trained concepts, turtle and teapot; each works on a copy of their project.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import flows.adoption.command
import tasks.jobs.keys
import tasks.stages.evaluate
import tasks.stages.prepare
from flows.cli.app import app
from tasks.adoption.records import AlreadyAdopted, write_adoption
from tasks.files.hashing import file_digest
from tasks.jobs.adoptions import read_adoptions
from tasks.jobs.jobs import plan_jobs
from tasks.project.settings import Settings, apply_environment, load_settings
from tasks.registry.registration import register
from tasks.store.store import open_store
from tasks.upkeep.needs import Forgotten, find_needs, jobs_of_all
from tests.data_project import photo
from tests.flows.lineage.test_lineage_in_s3 import put
from tests.lineage_project import copy_of, remember, train
from tests.tasks.signing.test_trusted_keys import write_key
from tests.training_project import POLICY, add_concept, make_training_project, write_params

CONCEPTS = ("teapot", "turtle")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, base_folder, evaluator_folder) -> Settings:
    """A project with two concepts, trained and registered."""
    root = tmp_path_factory.mktemp("adopt") / "project"
    make_training_project(root, base_folder, evaluator_folder)
    add_concept(root, "teapot", 50)
    settings = load_settings(root)
    for name in CONCEPTS:
        train_and_register(settings, name)
    return settings


@pytest.fixture
def project(trained, tmp_path, monkeypatch) -> Settings:
    """A copy that may be changed; commands run in it."""
    settings = copy_of(trained, tmp_path / "project")
    apply_environment(settings)
    monkeypatch.chdir(settings.root)
    return settings


@pytest.fixture
def upgrade(monkeypatch) -> Callable[[str], None]:
    """Another version of a library that all stages count."""
    real = tasks.jobs.keys.counted_versions

    def upgrade(version: str) -> None:
        monkeypatch.setattr(
            tasks.jobs.keys, "counted_versions", lambda names: real(names) | ({"pillow": version} if version else {})
        )

    return upgrade


def train_and_register(settings: Settings, name: str) -> None:
    bench = train(settings, name)
    version = register(settings, bench.job.concept, bench.manifests)
    remember(bench, version.version)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def adopt(*arguments: object) -> dict:
    result = run("adopt", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: object) -> str:
    """What the command says where it does nothing."""
    result = run("adopt", *arguments)
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.split())


def plan() -> dict[str, dict]:
    result = run("plan", "--json")
    assert result.exit_code == 0, result.output
    return {concept["concept"]: concept for concept in json.loads(result.stdout)["concepts"]}


def states() -> set[str]:
    return {concept["state"] for concept in plan().values()}


def files(settings: Settings) -> set[str]:
    return {str(path.relative_to(settings.store)) for path in settings.store.rglob("*") if path.is_file()}


def records(settings: Settings) -> list[str]:
    return open_store(settings).records("adoptions/")


def test_an_upgrade_keeps_what_was_trained_and_can_be_taken_back(project, upgrade):
    upgrade("99.0")
    before, stored = plan(), files(project)
    assert all(concept["adoptable"] and concept["state"] == "stale" for concept in before.values())
    assert "`" in run("plan").stderr and "adopt" in run("plan").stderr

    shown = adopt("--dry-run")
    assert (shown["adopted"], shown["keeps"]) == (False, list(CONCEPTS)) and files(project) == stored
    done = adopt("--reason", "Pillow 99")
    assert (done["record"], done["proved_on"], done["keeps"]) == (1, ["teapot"], list(CONCEPTS))
    assert {proof["agreement"] for proof in done["proofs"]} == {"bit for bit"}
    assert all(stage["old_digest"] == stage["new_digest"] for stage in done["proofs"][0]["stages"])
    assert files(project) - stored == {"adoptions/000001.json"}  # no byte was copied
    assert not list((project.home / "adopt").iterdir())

    after = plan()
    assert {concept["state"] for concept in after.values()} == {"up to date"}
    assert set(after["turtle"]["adopted"]["evaluate"]) == {1}
    bench = train(project, "turtle")  # nothing is made
    assert files(project) - stored == {"adoptions/000001.json"}
    assert bench.manifests["evaluate"].packages["pillow"] != "99.0"
    needs = find_needs(project, open_store(project), jobs_of_all(project), Forgotten()).needs
    assert {manifest.key for manifest in bench.manifests.values()} <= {key for _, key in needs.planned}

    lineage = json.loads(run("lineage", "turtle", "--verify", "--json").stdout)
    (adoption,) = lineage["adoptions"]
    assert (adoption["number"], adoption["reason"], len(adoption["stages"])) == (1, "Pillow 99", 6)
    assert not lineage["verification"]["faults"]
    assert "adoption 1" in run("lineage", "turtle").stdout
    assert run("lineage", "turtle", "--html", "page.html").exit_code == 0
    page = (project.root / "page.html").read_text()
    assert "Proved on teapot: 6 artefacts bit for bit" in page and done["proofs"][0]["stages"][0]["old_digest"] in page

    assert "nothing to adopt: all concepts are up to date (teapot, turtle)" in refused()
    assert run("adopt", "--undo", 1).exit_code == 0
    assert plan() == before
    assert "adoption 1 was taken back already; in force: none" in refused("--undo", 1)
    assert "no adoption 7 in force" in refused("--undo", 7)
    assert json.loads(run("lineage", "turtle", "--json").stdout)["adoptions"] == []


def test_a_chain_of_adoptions_keeps_all_and_new_trainings_say_what_made_them(project, upgrade):
    upgrade("99.0")
    adopt()
    write_params(project.root, unet={"learning_rate": 0.05})
    bench = train(project, "turtle")  # goes on from what was kept
    assert bench.manifests["train-2-cross_attention"].packages["pillow"] != "99.0"
    assert bench.manifests["train-3-unet"].packages["pillow"] == "99.0"
    version = register(project, bench.job.concept, bench.manifests)
    remember(bench, version.version)
    assert plan()["turtle"]["state"] == "up to date"

    upgrade("100.0")
    assert adopt()["keeps"] == ["turtle"]  # the other one is not made with this rate
    kept = plan()["turtle"]
    assert kept["state"] == "up to date" and kept["adopted"]["train-3-unet"] == [2]
    write_params(project.root)
    other = plan()["teapot"]
    assert other["state"] == "up to date" and other["adopted"]["train-3-unet"] == [2, 1]  # in two steps
    assert plan()["turtle"]["causes"] == [
        "stage 3: learning_rate 0.05 -> 0.0002",
        "alias 'candidate' names version 2, not version 1",
    ]
    upgrade("")  # the commit is reverted: what was made before it counts by itself
    assert not any(concept["adopted"] for concept in plan().values())
    upgrade("100.0")
    run("adopt", "--undo", 2)
    assert plan()["teapot"]["runs"][0] == "prepare"


def test_where_it_differs_nothing_is_adopted_and_the_numbers_are_told(project, upgrade, monkeypatch):
    real = tasks.stages.prepare.shrunk
    monkeypatch.setattr(tasks.stages.prepare, "shrunk", lambda image, side: real(image, side).point(lambda v: v ^ 1))
    upgrade("99.0")
    before = plan()
    result = run("adopt")
    assert result.exit_code == 1
    said = " ".join(result.stdout.split())
    assert "prepare: 6 of 6 files differ" in said or "prepare: 5 of 6 files differ" in said
    assert "of the pixels, by at most 1 of 255" in said and "numbers apart by at most" in said
    assert "clip_i: difference" in said and "Nothing is adopted" in result.stderr
    assert records(project) == [] and plan() == before


def test_a_proof_that_was_stopped_leaves_nothing_half_and_is_taken_up(project, upgrade, monkeypatch):
    upgrade("99.0")
    before = plan()
    with monkeypatch.context() as stopped:
        stopped.setattr("tasks.stages.evaluate._save_maps", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        assert run("adopt").exit_code == 130
    assert records(project) == [] and plan() == before
    (left,) = (project.home / "adopt").iterdir()
    assert len(list(left.glob("teapot/store/stages/*"))) == 4  # prepared and trained, not evaluated
    monkeypatch.setattr("model.training.train.train_stage", lambda **_: pytest.fail("was trained already"))
    assert adopt()["adopted"] and not list((project.home / "adopt").iterdir())


def test_of_two_at_once_one_wins(project, upgrade, monkeypatch):
    upgrade("99.0")
    written = []
    real = write_adoption

    def twice(*arguments):
        written.append(real(*arguments))
        return real(*arguments)

    monkeypatch.setattr(flows.adoption.command, "write_adoption", twice)
    done = adopt()
    assert (done["record"], done["by_another_process"]) == (1, True)
    assert records(project) == ["adoptions/000001.json"] and isinstance(AlreadyAdopted(written[0]), Exception)


def test_images_that_changed_too_are_not_touched(project, upgrade):
    upgrade("99.0")
    photo(99, 48, 48).save(project.concepts_dir / "turtle" / "images" / "02.png")
    done = adopt()
    assert done["keeps"] == ["teapot"] and done["left"][0]["concept"] == "turtle"
    stale = plan()["turtle"]
    assert (stale["state"], stale["runs"][0], stale["adoptable"]) == ("stale", "prepare", False)
    upgrade("100.0")
    photo(98, 48, 48).save(project.concepts_dir / "teapot" / "images" / "02.png")
    said = refused()
    assert "teapot: images: 1 changed (02.png)" in said and "turtle: images: 1 changed (02.png)" in said


def test_an_artefact_that_was_adopted_and_is_lost_is_made_again_and_says_by_what(project, upgrade):
    upgrade("99.0")
    adopt()
    (job,) = plan_jobs(project, ["turtle"])
    lost = next(stage for stage in job.stages if stage.stage == "train-1-embedding")
    shutil.rmtree(Path(open_store(project).manifest_address(lost.stage, lost.key)).parent)
    assert plan()["turtle"]["causes"] == ["artefact of stage 1 missing"]
    bench = train(project, "turtle")
    manifest = bench.manifests["train-1-embedding"]
    assert manifest.key == lost.key and manifest.packages["pillow"] != "99.0"
    assert manifest.made_by["packages"]["pillow"] == "99.0" and manifest.made_by["adoptions"] == [1]
    assert not json.loads(run("lineage", "turtle", "--verify", "--json").stdout)["verification"]["faults"]
    run("adopt", "--undo", 1)
    (fault,) = json.loads(run("lineage", "turtle", "--verify", "--json").stdout)["verification"]["faults"]
    assert "no adoption in force lets them count" in fault["said"]


def test_verification_finds_an_adoption_that_does_not_hold(project, upgrade):
    upgrade("99.0")
    done = adopt()
    stage = done["proofs"][0]["stages"][0]
    content = next(iter(open_store(project).get(stage["stage"], stage["key"]).files.values()))
    path = Path(open_store(project).content_address(content.sha256))
    path.chmod(0o644)
    path.write_bytes(b"x" * content.size)
    faults = json.loads(run("lineage", "turtle", "--verify", "--json").stdout)["verification"]["faults"]
    assert any(fault["what"].startswith("adoption 1: teapot prepare") for fault in faults)
    record = project.store / "adoptions" / "000001.json"
    record.write_bytes(record.read_bytes().replace(b"bit for bit", b"bit by bit!"))
    assert "its bytes have changed since it was sealed" in " ".join(run("plan").stderr.split())
    assert run("plan").exit_code == 2


def test_an_unsigned_adoption_counts_for_training_and_never_for_a_gate(project, upgrade, tmp_path, monkeypatch):
    from tasks.adoption.reliance import adoptions_of
    from tasks.promotion.gates import _adopted
    from tasks.promotion.policy import Policy

    def asked(policy: str = "allowed") -> tuple[bool, str]:
        settings = load_settings(project.root)
        store = open_store(settings)
        (job,) = plan_jobs(settings, ["turtle"])
        manifests = {stage.stage: store.get(stage.stage, stage.key) for stage in job.stages}
        check = _adopted(Policy(adopted=policy), adoptions_of(settings, store, manifests))
        return check.passed, check.said

    assert asked("refused") == (True, "rests on no adoption")
    upgrade("99.0")
    adopt()
    assert asked()[0] and asked("refused")[0] is False and "adopted: refused" in asked("refused")[1]
    monkeypatch.setenv("CONCEPTBOOTH_SIGNING_KEY", str(write_key(tmp_path / "key.pem")))
    assert states() == {"up to date"}
    passed, said = asked()
    assert not passed and "is not signed" in said
    faults = json.loads(run("lineage", "turtle", "--verify", "--json").stdout)["verification"]["faults"]
    assert [fault["what"] for fault in faults] == ["adoption 1: signature"]
    run("adopt", "--undo", 1)
    adopt()
    assert asked()[0]
    assert not json.loads(run("lineage", "turtle", "--verify", "--json").stdout)["verification"]["faults"]
    monkeypatch.setenv("CONCEPTBOOTH_SIGNING_KEY", str(write_key(tmp_path / "other.pem")))
    assert "nobody here trusts" in asked()[1]


def test_bad_input_is_said_before_anything_is_trained(project, upgrade, monkeypatch):
    monkeypatch.setattr(flows.adoption.command, "make_from_scratch", lambda *_: pytest.fail("something was trained"))
    assert "nothing to adopt: all concepts are up to date" in refused()
    upgrade("99.0")
    assert "--prove 5: only 2 of the concepts would be kept (teapot, turtle); say --prove 2 or fewer" in refused(
        "--prove", 5
    )
    assert run("adopt", "--prove", 0).exit_code == 2
    assert "--undo goes with --reason alone" in " ".join(run("adopt", "--undo", 1, "--dry-run").output.split())
    policy = project.root / "mlflow" / "promotion.yaml"
    policy.write_text(f"{POLICY}adoption_reason: true\n")
    assert "adoption_reason asks for one; say why with --reason TEXT" in refused()
    assert "adoption_reason asks for one" in refused("--undo", 1)
    policy.write_text(f"{POLICY}adopted: perhaps\n")
    assert "adopted" in refused()
    policy.write_text(POLICY)
    monkeypatch.setenv("CONCEPTBOOTH_SIGNING_KEY", str(project.root.parent / "none.pem"))
    assert "signing_key" in refused()
    monkeypatch.delenv("CONCEPTBOOTH_SIGNING_KEY")
    shutil.rmtree(project.store / "cas")
    said = refused()
    assert "0 of 2 concepts have all their artefacts whole" in said and "missing" in said
    assert records(project) == []
    shutil.rmtree(project.store)
    project.store.write_text("no folder")
    assert run("adopt").exit_code in (1, 2) and "store" in run("adopt").stderr


def test_a_concept_whose_bytes_are_gone_proves_nothing_and_another_one_does(project, upgrade):
    upgrade("99.0")
    store = open_store(project)
    (job,) = plan_jobs(project, ["teapot"])
    upgrade("")
    (job,) = plan_jobs(project, ["teapot"])
    weights = next(iter(store.get(job.stages[1].stage, job.stages[1].key).files.values()))
    Path(store.content_address(weights.sha256)).unlink()
    upgrade("99.0")
    done = adopt()
    assert done["proved_on"] == ["turtle"] and any("teapot" in problem for problem in done["problems"])


def test_as_many_are_trained_as_were_asked_for(project, upgrade):
    upgrade("99.0")
    assert adopt("--prove", 2)["proved_on"] == list(CONCEPTS)
    assert read_adoptions(open_store(project)).records[0].proved[0]["concepts"] == list(CONCEPTS)


def test_another_machine_on_the_same_bucket_knows_it(trained, project, upgrade, s3_bucket, monkeypatch):
    """What one machine adopts counts on every other one, and a record is made there by a conditional put."""
    for path in (path for path in project.store.rglob("*") if path.is_file()):
        key = f"store/{path.relative_to(project.store).as_posix()}"
        put(s3_bucket, key, path.read_bytes(), file_digest(path))
    project.store.rename(project.root.parent / "gone")
    monkeypatch.setenv("CONCEPTBOOTH_STORE", f"s3://{s3_bucket}/store")
    upgrade("99.0")
    assert states() == {"stale"}
    assert adopt("--reason", "Pillow 99")["keeps"] == list(CONCEPTS)
    other = copy_of(trained, project.root.parent / "other")
    monkeypatch.chdir(other.root)
    after = plan()
    assert {concept["state"] for concept in after.values()} == {"up to date"} and after["teapot"]["adopted"]
    jobs = plan_jobs(load_settings(other.root), CONCEPTS)
    assert [job.adopted["gallery"] for job in jobs] == [(1,), (1,)]
