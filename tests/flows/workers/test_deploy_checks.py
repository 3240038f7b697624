"""What `conceptbooth deploy` and `conceptbooth worker` refuse before they do anything."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import prefect
import pytest
from prefect.client.schemas.actions import WorkPoolCreate

from flows.server.server_process import free_port
from flows.server.shared_server import LEASES_ON_DISK, PrefectServer, find_server, fitting_server, server_client
from flows.training.train_concept import train_concept
from flows.training.worker_protocol import expectation, refuse_another_plan
from flows.workers.deploy import run_deploy
from flows.workers.deployments import read_deployments
from flows.workers.worker import run_worker
from model.errors import InputError
from tasks.jobs.jobs import plan_jobs
from tasks.project.settings import Settings
from tests.data_project import REPOSITORY, commit, git
from tests.training_project import write_params

NIGHTLY = """\
deployments:
- name: nightly
  entrypoint: flows.night.nightly.nightly
  work_pool: {name: POOL}
  schedules: [SCHEDULE]
"""


def write_file(root: Path, schedule: str = '{cron: "0 2 * * *", timezone: Europe/Berlin}', pool: str = "cpu") -> Path:
    file = root / "prefect.yaml"
    file.write_text(NIGHTLY.replace("SCHEDULE", schedule).replace("POOL", pool))
    return file


def problems_of(error: pytest.ExceptionInfo[InputError]) -> str:
    return "\n".join(error.value.problems)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ('{cron: "0 2 * * *", timezone: Europe/Atlantis}', ["no time zone 'Europe/Atlantis'", "Europe/Berlin"]),
        ('{cron: "0 0 30 2 *"}', ["'0 0 30 2 *' never runs"]),
        ('{cron: "61 * * * *"}', ["'61 * * * *'", "invalid cron"]),
        ("{interval: 0}", ["interval", "positive"]),
        ('{rrule: "FREQ=DAILY;UNTIL=20200101T000000Z"}', ["never runs"]),
        ("{timezone: Europe/Berlin}", ["one of cron, interval, rrule"]),
        ('{cron: "0 2 * * *", interval: 60}', ["one of cron, interval, rrule"]),
        ('{cron: "0 2 * * *", timezon: Europe/Berlin}', ["timezon is unknown; did you mean timezone?"]),
        ('{cron: "0 0 30 2 *", timezone: Mars/Base}', ["never runs", "no time zone 'Mars/Base'"]),
    ],
)
def test_a_schedule_that_would_run_nothing_is_refused(tmp_path, schedule, words):
    with pytest.raises(InputError) as error:
        read_deployments(write_file(tmp_path, schedule))
    said = problems_of(error)
    assert "deployment nightly" in said and all(word in said for word in words)


def test_a_schedule_that_is_switched_off_may_be_anything(tmp_path):
    (deployment,) = read_deployments(write_file(tmp_path, '{cron: "0 0 30 2 *", active: false}'))
    assert deployment.next_runs == ()


@pytest.mark.parametrize("word", ["schedule", "shedules"])
def test_a_word_that_prefect_passes_over_is_refused(tmp_path, word):
    file = write_file(tmp_path)
    file.write_text(file.read_text().replace("schedules", word))
    with pytest.raises(InputError, match=f"deployment nightly: {word} is unknown; did you mean schedules"):
        read_deployments(file)


def test_a_night_in_summer_and_in_winter_begins_at_the_same_hour_there(tmp_path):
    (deployment,) = read_deployments(write_file(tmp_path))
    (begins,) = deployment.next_runs
    assert (begins.hour, begins.minute) == (2, 0) and begins.utcoffset().total_seconds() in (3600, 7200)


def test_what_is_missing_or_stands_twice_is_told_together(tmp_path):
    file = tmp_path / "prefect.yaml"
    file.write_text(
        "deployments:\n- {name: a, entrypoint: x.y, work_pool: {name: cpu}}\n"
        "- {name: a, entrypoint: x.y, work_pool: {name: cpu}}\n- {name: b}\n"
    )
    with pytest.raises(InputError) as error:
        read_deployments(file)
    assert "two deployments are called 'a'" in problems_of(error)
    assert "b: entrypoint is missing" in problems_of(error) and "b: work_pool.name is missing" in problems_of(error)


def test_the_project_s_own_file_is_right():
    nightly, training = read_deployments(REPOSITORY / "prefect.yaml")
    assert (nightly.pool, training.pool) == ("cpu", "gpu") and len(nightly.next_runs) == 1


def test_all_that_is_wrong_is_told_before_anything_is_made(project, prefect_url):
    write_file(project.root, '{cron: "0 0 30 2 *", timezone: Europe/Atlantis}', pool="gpuu")
    settings = project.model_copy(update={"prefect_api_url": prefect_url, "device": "auto"})
    with pytest.raises(InputError) as error:
        run_deploy(settings, as_json=True)
    assert "device 'auto'" in problems_of(error) and "Europe/Atlantis" in problems_of(error)
    write_file(project.root, pool="gpuu")
    with pytest.raises(InputError, match=r"'gpuu' is unknown; did you mean 'gpu'\?"):
        run_deploy(settings.model_copy(update={"device": "cpu"}), as_json=True)
    write_params(project.root, dtype="auto")
    with pytest.raises(InputError, match="dtype 'auto'"):
        run_deploy(settings.model_copy(update={"device": "cuda"}), as_json=True)
    with server_client(settings) as client:
        assert client.read_deployments() == []
        assert not {"cpu", "gpuu"} & {pool.name for pool in client.read_work_pools()}


@pytest.mark.parametrize("gpu", ["all", "0,", "-1", ""])
def test_a_worker_names_one_gpu(project, gpu):
    with pytest.raises(InputError, match=f"--gpu {gpu}: a GPU is named by its number or UUID"):
        run_worker(project, gpu=gpu)


def test_a_worker_is_refused_by_a_pool_that_is_unknown_or_of_another_type(project, prefect_url):
    settings = project.model_copy(update={"prefect_api_url": prefect_url, "device": "cpu"})
    with pytest.raises(InputError, match=r"'other' is unknown .* `conceptbooth deploy`"):
        run_worker(settings, gpu="0", pool="other")
    with server_client(settings) as client:
        client.create_work_pool(WorkPoolCreate(name="containers", type="docker"))
        assert not client.read_global_concurrency_limits()
    with pytest.raises(InputError, match="of type 'docker'"):
        run_worker(settings, gpu="0", pool="containers")


@pytest.mark.parametrize(("gpu", "processes"), [("0,1", 1), ("0", 2), ("0,0", 2)])
def test_a_worker_has_a_gpu_for_each_process_of_a_training(project, gpu, processes):
    settings = Settings(root=project.root, processes=processes)
    with pytest.raises(InputError, match=rf"--gpu {gpu}: .* one GPU for each process .*processes = {processes}"):
        run_worker(settings, gpu=gpu)


def test_a_worker_s_gpu_must_be_there(project, prefect_url):
    settings = project.model_copy(update={"prefect_api_url": prefect_url, "device": "cuda"})
    with pytest.raises(InputError) as error:
        run_worker(settings, gpu="97")
    assert "GPU 97" in problems_of(error) and "dtype 'auto'" in problems_of(error)


def test_a_server_that_is_not_named_or_not_there_is_refused(project, prefect_url):
    with pytest.raises(InputError, match="PREFECT_API_URL"):
        find_server(project.model_copy(update={"prefect_api_url": ""}))
    nobody = f"http://127.0.0.1:{free_port(0)}/api"
    with pytest.raises(InputError, match=f"{nobody} does not answer"):
        find_server(project.model_copy(update={"prefect_api_url": nobody}))
    page = prefect_url.removesuffix("/api")
    with pytest.raises(InputError, match="ends in /api"):
        find_server(project.model_copy(update={"prefect_api_url": page}))


@pytest.fixture
def server_of_version() -> Iterator[Any]:
    """Stands in for a Prefect server of another version, of which there can be none beside this one."""
    servers = []

    def start(version: str) -> str:
        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answers = {
                    "/api/health": True,
                    "/api/admin/version": version,
                    "/api/admin/settings": {"server": {"concurrency": {"lease_storage": LEASES_ON_DISK}}},
                }
                body = json.dumps(answers[self.path]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        server = HTTPServer(("127.0.0.1", 0), Answers)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/api"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("version", "word"), [("3.999.0", "older"), ("3.0.1", "newer")])
def test_a_worker_and_a_server_of_two_versions_are_refused(project, server_of_version, version, word):
    url = server_of_version(version)
    settings = project.model_copy(update={"prefect_api_url": url, "device": "cpu"})
    with pytest.raises(InputError) as error:
        run_worker(settings, gpu="0")
    (said,) = [line for line in error.value.problems if url in line]
    assert f"Prefect {prefect.__version__} here is {word} than the server's {version}" in said
    assert "constraints.txt" in said
    with pytest.raises(InputError, match=word):
        run_deploy(settings, as_json=True)


def test_a_server_of_this_version_fits(project, server_of_version):
    url = server_of_version(prefect.__version__)
    assert fitting_server(project.model_copy(update={"prefect_api_url": url})).lease_warning() is None


def test_leases_in_memory_are_warned_of(project, prefect_url):
    found = find_server(project.model_copy(update={"prefect_api_url": prefect_url}))
    assert found.version == prefect.__version__
    assert LEASES_ON_DISK in found.lease_warning()
    on_disk = PrefectServer(url=found.url, version=found.version, lease_storage=LEASES_ON_DISK)
    assert on_disk.lease_warning() is None


def test_a_worker_whose_project_plans_something_else_refuses_and_names_both_commits(project, prefect_url, monkeypatch):
    settings: Settings = project
    git(settings.root, "init", "--quiet")
    before = commit(settings.root)
    (job,) = plan_jobs(settings, ["turtle"])
    asked = expectation(job)
    refuse_another_plan(job, asked["expected_key"], asked["expected_commit"])
    write_params(settings.root, unet={"max_train_steps": 3})
    after = commit(settings.root)
    monkeypatch.setenv("CONCEPTBOOTH_ROOT", str(settings.root))
    with pytest.raises(InputError) as error:
        train_concept(**asked)
    said = str(error.value)
    assert before[:12] in said and after[:12] in said and asked["expected_key"][:12] in said
    assert not (settings.home / "store" / "stages").exists()
