"""`conceptbooth doctor`: each thing that the work needs, there and missing."""

import importlib.util
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.doctor.diagnosis import Diagnosis, diagnosed_at_once, diagnosed_by
from flows.doctor.services import service_probes
from flows.doctor.setup import diagnose
from tasks.jobs.code_digest import PROJECT
from tasks.project.settings import load_settings
from tasks.store.s3 import s3_client
from tasks.tracking.table_forms import MIGRATIONS
from tests.certificates import write_key_and_certificates
from tests.s3 import relay
from tests.tasks.finished_training import migrated_database

ROOT = Path(__file__).resolve().parents[3]
OURS = ("CONCEPTBOOTH_", "PREFECT_", "MLFLOW_", "DVC_", "HF_")
WITH_C2PA = importlib.util.find_spec("c2pa") is not None
CONCEPT = "super_category: owl\nlicence: MIT\nsource: drawn\nconsent: not needed\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a git repository with parameters, a prompt set and one concept, and no models."""
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", os.environ.copy())  # what a command sets must not reach the next test
    folder = tmp_path / "project"
    for name in ("params.yaml", "constraints.txt", "data/prompts/toyworld.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    images = folder / "data" / "concepts" / "brown-owl" / "images"
    images.mkdir(parents=True)
    (images / "00.png").write_bytes(b"pixels")
    (images.parent / "concept.yaml").write_text(CONCEPT)
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "params.yaml"], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    return folder


def examined(code: int = 1) -> dict[str, dict[str, Any]]:
    """The doctor's findings by what they are about."""
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == code, done.output
    findings = json.loads(done.stdout)["findings"]
    return {finding["what"]: finding for finding in findings}


def test_what_is_there_and_what_is_missing(project: Path) -> None:
    found = examined()
    assert found["project"]["found"] == str(project)
    for what in ("packages", "git", "params.yaml", "prompt set", "device", "store", "MLflow", "Prefect"):
        assert found[what]["state"] == "ok", found[what]
    assert "10 prompts" in found["prompt set"]["found"]
    missing = {
        "base model": "toyworld/base",
        "evaluator": "toyworld/evaluator/clip",
        "identity model": "toyworld/evaluator/vit",
    }
    for what, folder in missing.items():
        assert found[what]["state"] == "problem"
        assert folder in found[what]["found"]
    assert found["concept brown-owl"]["state"] == "note"
    assert "unknown to DVC" in found["concept brown-owl"]["found"]


def test_variables_in_dotenv_that_nobody_reads_are_a_note(project: Path) -> None:
    (project / ".env").write_text("MLFLOW_TRACKING_TOKEN=a\nMLFLOW_HTTP_REQUEST_TIMEOUT=5\nCONCEPTBOOTH_DEVICE=cpu\n")
    found = examined()[".env"]
    assert found["state"] == "note" and found["found"].endswith(": MLFLOW_HTTP_REQUEST_TIMEOUT")
    (project / ".env").write_text("MLFLOW_TRACKING_TOKEN=a\n")
    assert ".env" not in examined()


def test_code_of_another_checkout_than_the_project_s_is_a_note(project: Path) -> None:
    own = project / "tasks" / "jobs" / "code_digest.py"
    own.parent.mkdir(parents=True)
    own.touch()
    (note,) = [each for each in diagnose(load_settings(project), 30) if each.what == "code"]
    assert note.state == "note" and str(PROJECT) in note.found and f"pip install -e {project}" in note.way_out
    own.unlink()
    assert not [each for each in diagnose(load_settings(project), 30) if each.what == "code"]


def test_the_same_for_people(project: Path) -> None:
    done = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "300"})
    assert done.exit_code == 1
    (line,) = (line for line in done.stdout.splitlines() if " base model " in line)
    assert line.startswith("problem")
    assert "3 problems" in done.stderr


def test_a_store_that_cannot_be_written_is_missing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "file").touch()
    monkeypatch.setenv("CONCEPTBOOTH_STORE", str(project / "file" / "store"))
    found = examined()["store"]
    assert found["state"] == "problem"
    assert "CONCEPTBOOTH_STORE" in found["found"]


def test_wrong_parameters_are_all_named(project: Path) -> None:
    text = (project / "params.yaml").read_text(encoding="utf-8")
    (project / "params.yaml").write_text(text.replace("seed: 0", "seed: -1").replace("guidance_scale: 3.0", "a: 1"))
    done = CliRunner().invoke(app, ["doctor", "--json"])
    problems = [f["found"] for f in json.loads(done.stdout)["findings"] if f["what"] == "params.yaml"]
    assert len(problems) >= 3
    assert any("evaluation.seed" in problem for problem in problems)


def test_what_depends_on_wrong_parameters_is_said_not_to_be_looked_at(project: Path) -> None:
    text = (project / "params.yaml").read_text(encoding="utf-8")
    (project / "params.yaml").write_text(text.replace("seed: 0", "seed: -1", 1))
    done = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "300"})
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert sum(line.startswith("problem") and " params.yaml " in line for line in lines) >= 1
    for what in ("base model", "evaluator", "prompt set", "device"):
        (line,) = (line for line in lines if f" {what} " in line)
        assert "not looked at: params.yaml has to be mended first" in line


@contextmanager
def answering(code: int) -> Iterator[str]:
    """A server that answers every request with this code."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_servers_are_asked(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200) as good, answering(503) as ill:
        monkeypatch.setenv("PREFECT_API_URL", f"{good}/api")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", ill)
        found = examined()
    assert found["Prefect"]["state"] == "problem"
    assert "is not Prefect's API" in found["Prefect"]["found"]
    assert found["MLflow"]["state"] == "problem"
    assert "503" in found["MLflow"]["found"]
    monkeypatch.setenv("PREFECT_API_URL", f"{good}/api")
    found = examined()  # nobody listens there any more
    assert found["Prefect"]["state"] == "problem"
    assert "does not answer" in found["Prefect"]["found"]
    assert "PREFECT_API_URL" in found["Prefect"]["way_out"]


def test_a_real_prefect_server_is_written_to(project: Path, prefect_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_url)
    prefect = examined()["Prefect"]
    assert prefect["found"].startswith(f"{prefect_url}: writes and reads; version ")
    assert prefect["state"] == "note" and "LEASE_STORAGE" in prefect["way_out"]  # this one keeps leases in memory


def test_a_broken_database_is_missing(project: Path) -> None:
    file = project / ".conceptbooth" / "mlflow" / "mlflow.db"
    file.parent.mkdir(parents=True)
    file.write_text("no database")
    assert examined()["MLflow"]["state"] == "problem"


@pytest.mark.parametrize(
    ("form", "said"),
    [("feedc0ffee00", "are of a newer mlflow than the installed"), ("728d730b5ebd", "are of an older mlflow than")],
)
def test_a_database_of_another_mlflow_is_told(project: Path, form: str, said: str) -> None:
    file = project / ".conceptbooth" / "mlflow" / "mlflow.db"
    file.parent.mkdir(parents=True)
    shutil.copyfile(migrated_database(), file)
    assert examined()["MLflow"]["state"] == "ok"
    with sqlite3.connect(file) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (form,))
    found = examined()["MLflow"]
    assert found["state"] == "problem"
    assert said in found["found"]


def test_a_database_of_a_newer_prefect_is_told(project: Path) -> None:
    file = project / ".conceptbooth" / "prefect" / "prefect.db"
    file.parent.mkdir(parents=True)
    for form, state in ((newest_form("prefect"), "ok"), ("feedc0ffee00", "problem")):
        file.unlink(missing_ok=True)
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE alembic_version (version_num TEXT)")
            database.execute("INSERT INTO alembic_version VALUES (?)", (form,))
        assert examined()["Prefect"]["state"] == state
    assert "are of a newer prefect than the installed" in examined()["Prefect"]["found"]


def newest_form(package: str) -> str:
    """As alembic itself finds it."""
    from alembic.script import ScriptDirectory

    folder = Path(importlib.util.find_spec(package).submodule_search_locations[0], MIGRATIONS[package])  # type: ignore[union-attr, index]
    (newest,) = ScriptDirectory(str(folder.parent), version_locations=[str(folder)]).get_heads()
    return newest


def test_a_moved_project_is_told_no_way_out_that_writes_into_the_old_folder(project: Path) -> None:
    file = project / ".conceptbooth" / "mlflow" / "mlflow.db"
    file.parent.mkdir(parents=True)
    shutil.copyfile(migrated_database(), file)
    old = "file:///where/it/was/.conceptbooth/mlflow/artifacts"
    with sqlite3.connect(file) as database:
        database.execute("UPDATE experiments SET name = 'conceptbooth', artifact_location = ?", (old,))
    found = examined()["MLflow"]
    assert found["state"] == "problem"
    assert f"move it back, or move {file.parent} away and run `conceptbooth train` again" in found["found"]
    assert "mlflow_artifact_root" not in found["found"]


@pytest.fixture
def with_base(project: Path, base_folder: Path) -> Path:
    """The folder of a sound base that the project names."""
    base = Path(shutil.copytree(base_folder, project / "base"))
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(re.sub(r"^base: .*$", "base: base", text, flags=re.MULTILINE))
    return base


@pytest.mark.parametrize(
    ("file", "values", "state", "said"),
    [
        ("scheduler/scheduler_config.json", {}, "ok", "16 pixels"),
        ("scheduler/scheduler_config.json", {"_class_name": "LCMScheduler"}, "note", "its scheduler is a LCMScheduler"),
        ("model_index.json", {"_name_or_path": "stabilityai/sd-turbo"}, "note", "made as 'stabilityai/sd-turbo'"),
        (
            "scheduler/scheduler_config.json",
            {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing", "prediction_type": "epsilon"},
            "note",
            "trailing timesteps, as turbo bases have",
        ),
        ("unet/config.json", {"time_cond_proj_dim": 256}, "problem", "a latent consistency model"),
        ("model_index.json", {"_name_or_path": "somebody/welcoming-hyperion"}, "ok", "16 pixels"),
    ],
)
def test_bases_that_were_distilled_are_told(
    with_base: Path, file: str, values: dict[str, Any], state: str, said: str
) -> None:
    path = with_base / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    found = examined()["base model"]
    assert (found["state"], said in found["found"]) == (state, True), found


def test_a_base_in_half_precision_alone_is_no_base(with_base: Path) -> None:
    whole = with_base / "unet/diffusion_pytorch_model.safetensors"
    whole.rename(whole.with_name("diffusion_pytorch_model.fp16.safetensors"))
    found = examined()["base model"]
    assert found["state"] == "problem"
    assert "the weights in another precision" in found["found"]


def test_other_versions_than_were_run_together_are_named(project: Path) -> None:
    constraints = project / "constraints.txt"
    constraints.write_text(constraints.read_text(encoding="utf-8") + "\ntyper==0.1\n")
    found = examined()["packages"]
    assert found["state"] == "note"
    assert "typer" in found["found"] and "0.1" in found["found"]


def test_a_folder_without_git_is_named(project: Path) -> None:
    (project / ".git").rename(project.parent / "git")
    assert examined()["git"]["state"] == "problem"


def test_a_concept_with_a_broken_description_does_not_hide_the_others(project: Path) -> None:
    broken = project / "data" / "concepts" / "broken"
    broken.mkdir()
    (broken / "concept.yaml").write_text("licence: MIT\n")
    found = examined()
    assert found["concept broken"]["state"] == "problem"
    assert found["concept brown-owl"]["state"] == "note"


def test_images_that_are_not_here_yet_are_a_note_with_the_way_out(project: Path) -> None:
    (project / "data/concepts/brown-owl/images/00.png").unlink()
    (project / "data/concepts/brown-owl/images").rmdir()
    found = examined()["concept brown-owl"]
    assert found["state"] == "note"
    assert "dvc repro" in found["found"]


def test_the_doctor_needs_none_of_the_large_libraries(project: Path) -> None:
    code = (
        "import sys\nfrom flows.doctor.doctor import run_doctor\nfrom tasks.project.settings import load_settings\n"
        "run_doctor(load_settings(), as_json=True)\n"
        "names = ('torch', 'diffusers', 'transformers', 'mlflow', 'dvc', 'prefect')\n"
        "sys.exit(repr([name for name in names if name in sys.modules]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def put_into_s3(project: Path, bucket: str) -> None:
    """Every place of the project is in this bucket from now on."""
    (project / "conceptbooth.toml").write_text(
        f'store = "s3://{bucket}/store"\nmlflow_artifact_root = "s3://{bucket}/mlflow"\n'
        f'prefect_results = "s3://{bucket}/results"\n'
    )
    section = f"['remote \"far\"']\n    url = s3://{bucket}/dvc\n"
    (project / ".dvc").mkdir(exist_ok=True)
    (project / ".dvc/config").write_text(f"[core]\n    remote = far\n{section}")
    made = project / ".conceptbooth" / "mlflow"
    made.mkdir(parents=True, exist_ok=True)
    (made / "mlflow.db").write_bytes(migrated_database().read_bytes())


def test_places_in_s3_are_proved_by_use_and_left_as_they_were(project: Path, s3_bucket: str) -> None:
    put_into_s3(project, s3_bucket)
    found = examined()
    places = {"store": "store", "DVC remote": "dvc", "MLflow artefacts": "mlflow", "Prefect results": "results"}
    for what, address in places.items():
        assert found[what]["state"] == "ok", found[what]
        assert f"s3://{s3_bucket}/{address}" in found[what]["found"]
    assert s3_client().list_objects_v2(Bucket=s3_bucket)["KeyCount"] == 0


def test_each_place_that_refuses_is_named(project: Path, s3_bucket: str, s3_server: str, monkeypatch) -> None:
    put_into_s3(project, s3_bucket)
    with relay(s3_server) as before:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", before.url)
        before.answer, before.concerns = (403, "AccessDenied"), "/dvc/"
        before.ignored_headers = {"if-none-match"}
        found = examined()
        before.concerns = "/results/"
        (results,) = diagnosed_by("Prefect results", service_probes(load_settings(project))["Prefect results"])
    assert results.state == "problem" and "s3:PutObject" in results.found
    assert found["store"]["state"] == "problem" and "IfNoneMatch" in found["store"]["found"]
    assert found["DVC remote"]["state"] == "problem" and "s3:PutObject" in found["DVC remote"]["found"]
    assert found["MLflow artefacts"]["state"] == "ok"


def test_a_place_that_never_answers_holds_up_nobody_and_a_defect_is_a_finding() -> None:
    over = Event()

    def silent() -> list[Diagnosis]:
        over.wait()
        return []

    well = Diagnosis(what="store", state="ok", found="well")
    service_probes = {"DVC remote": silent, "store": lambda: [well], "MLflow": lambda: [][1]}
    dead, alive, odd = diagnosed_at_once(service_probes, seconds=1.0)
    over.set()
    assert (dead.what, dead.state, dead.found) == ("DVC remote", "problem", "no answer within 1 seconds")
    assert alive == well
    assert odd.state == "problem" and "IndexError" in odd.found


def test_what_answers_in_part_is_shown_and_a_late_defect_does_not_hide_it() -> None:
    over = Event()
    well = Diagnosis(what="concept a", state="ok", found="well")

    def slow() -> Iterator[Diagnosis]:
        yield well
        over.wait()

    def broken() -> Iterator[Diagnosis]:
        yield well
        raise LookupError("b")

    first, silence, second, odd = diagnosed_at_once({"concepts": slow, "more": broken}, seconds=0.5)
    over.set()
    assert (first, second) == (well, well)
    assert silence.found == "no further answer within 0.5 seconds" and "--within" in silence.way_out
    assert odd.found == "LookupError: b"


def command(project: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`conceptbooth doctor` as a process of its own."""
    program = [sys.executable, "-c", "from flows.cli.app import main; main()", "doctor", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(program, cwd=project, env=environment, capture_output=True, text=True, timeout=100)


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes what comes and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_the_process_ends_in_time_and_whole_though_a_place_never_answers(project: Path) -> None:
    with silent_server() as url:
        there = {"AWS_ENDPOINT_URL_S3": url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        began = time.monotonic()
        done = command(project, "--json", "--within", "4", CONCEPTBOOTH_PRODUCTION_STORE="s3://bucket/prod", **there)
        took = time.monotonic() - began
    assert done.returncode == 1 and took < 60, (done.returncode, took, done.stderr)
    found = {each["what"]: each for each in json.loads(done.stdout)["findings"]}
    assert found["production store"]["found"] == "no answer within 4 seconds"
    assert found["store"]["state"] == "ok"


def test_places_of_production_and_the_keys_of_pictures_are_looked_at(project: Path, s3_bucket: str, tmp_path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    settings = {
        "production_store": "s3://no-such-bucket/production",
        "production_tracking_uri": "http://127.0.0.1:9",
        "signing_key": str(keys / "release.pem"),
        "c2pa_key": str(keys / "pictures.pem"),
        "c2pa_certificates": str(keys / "chain.pem"),
    }
    lines = [f'{name} = "{value}"' for name, value in settings.items()]
    (project / "conceptbooth.toml").write_text("\n".join(lines))
    found = examined()
    for what, said in {
        "production store": "no-such-bucket",
        "production registry": "127.0.0.1:9 does not answer",
        "keys": "release.pem: No such file",
        "picture signing": "pictures.pem: No such file" if WITH_C2PA else "c2pa-python is not installed",
    }.items():
        assert found[what]["state"] == "problem" and said in found[what]["found"], found[what]
    chain = write_key_and_certificates(keys)
    settings |= {"c2pa_key": str(chain[0]), "c2pa_certificates": str(chain[1])}
    settings |= {
        "production_store": f"s3://{s3_bucket}/production",
        "production_tracking_uri": f"sqlite:///{keys}/p.db",
    }
    del settings["signing_key"]
    (project / "conceptbooth.toml").write_text("\n".join(f'{name} = "{value}"' for name, value in settings.items()))
    found = examined()
    for what in ("production store", "production registry", "keys", *(["picture signing"] if WITH_C2PA else [])):
        assert found[what]["state"] == "ok", found[what]
    assert "made by the first promotion" in found["production registry"]["found"]


HUB = {"some/base": ("a" * 40, ["model_index.json", "unet/diffusion_pytorch_model.safetensors"])} | {
    "some/clip": ("b" * 40, ["config.json", "pytorch_model.bin"])
}


@contextmanager
def hub() -> Iterator[str]:
    """A server that answers as the hub does, for two models."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            model, _, revision = self.path.split("?")[0].removeprefix("/api/models/").partition("/revision/")
            commit, files = HUB.get(model, (None, []))
            known = commit is not None and revision in ("", commit)
            body = json.dumps({"id": model, "sha": commit, "siblings": [{"rfilename": name} for name in files]})
            self.send_response(200 if known else 404)
            self.send_header("X-Error-Code", "RepoNotFound" if commit is None else "RevisionNotFound")
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_hub_is_asked_and_what_is_to_be_the_newest_is_pinned(project: Path, tmp_path: Path) -> None:
    file = project / "params.yaml"

    def name(base: str, revision: str, evaluator: str, evaluator_revision: str) -> None:
        text = file.read_text(encoding="utf-8")
        models = {"base": base, "evaluator": evaluator}
        revisions = {"base_revision": revision, "evaluator_revision": evaluator_revision}
        for key, value in (models | revisions).items():
            text = re.sub(rf"(?m)^{key}: .*$", f"{key}: {value}", text)
        file.write_text(text, encoding="utf-8")

    def look(url: str) -> dict[str, dict[str, Any]]:
        done = command(project, "--json", HF_ENDPOINT=url, HF_HUB_CACHE=str(tmp_path / "hub"))
        return {each["what"]: each for each in json.loads(done.stdout)["findings"]}

    name("some/base", "newest", "some/clip", "newest")
    kept = file.read_text(encoding="utf-8")
    silent = look("http://127.0.0.1:9")
    assert "some/base: not pinned to a commit, and the hub does not answer" in silent["base model"]["found"]
    assert file.read_text(encoding="utf-8") == kept
    with hub() as url:
        found = look(url)
        assert found["base model"]["state"] == "ok" and "the hub has it" in found["base model"]["found"]
        assert found["evaluator"]["state"] == "problem" and "no safetensors" in found["evaluator"]["found"]
        text = file.read_text(encoding="utf-8")
        assert text == kept.replace("base_revision: newest", f"base_revision: {'a' * 40}"), "its comments too"
        name("some/base", "c" * 40, "no/clip", "d" * 40)
        found = look(url)
    assert "the hub has no such commit" in found["base model"]["found"]
    assert "no/clip at dddddddddddd: not on the hub" in found["evaluator"]["found"]
    name("some/base", "null", "some/clip", "null")
    assert "write newest, in place of which `conceptbooth doctor`" in look("http://127.0.0.1:9")["base model"]["found"]


def test_a_mix_of_two_worlds_is_named_part_by_part(project: Path, with_base: Path) -> None:
    (project / "mlflow").mkdir()
    (project / "mlflow/promotion.yaml").write_bytes((ROOT / "mlflow/promotion.yaml").read_bytes())
    for place in ("toyworld/evaluator/clip", "toyworld/evaluator/vit"):
        (project / place).parent.mkdir(parents=True, exist_ok=True)
        (project / place).symlink_to(ROOT / place)
    mix = examined()["mix"]
    assert mix["state"] == "problem" and "`conceptbooth init DIR --base BASE`" in mix["way_out"]
    for part in (
        "base model base is for photographs, but evaluator toyworld/evaluator/clip is the toy world's",
        "identity model toyworld/evaluator/vit",
        "prompt set data/prompts/toyworld.yaml",
        "preset toyworld",
        "minimums of mlflow/promotion.yaml",
    ):
        assert part in mix["found"]
    shutil.copyfile(ROOT / "toyworld/base/domain.toml", with_base / "domain.toml")
    assert "mix" not in examined(0)
