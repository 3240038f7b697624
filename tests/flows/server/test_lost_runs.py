"""Flow runs of killed processes, on a real Prefect API."""

from prefect import flow, runtime
from prefect.client.orchestration import get_client
from prefect.settings import temporary_settings
from prefect.states import Running

from flows.server.lost_runs import end_lost_runs, sign_run
from tasks.files.process import this_process

HERE = {f"conceptbooth.process.{name}": value for name, value in this_process().items()}
BOOT = {"conceptbooth.process.host": "here 7", "conceptbooth.process.boot": "now"}


@flow(name="signed")
def signed() -> str:
    sign_run()
    return str(runtime.flow_run.id)


def test_a_run_is_signed_with_its_process(prefect_url: str) -> None:
    run = signed()
    with get_client(sync_client=True) as client:
        assert HERE.items() <= client.read_flow_run(run).labels.items()


def test_a_run_that_cannot_be_signed_does_its_work(prefect_url: str) -> None:
    @flow(name="unsigned")
    def unsigned() -> str:
        with temporary_settings({"api.url": "http://127.0.0.1:9/api"}):
            sign_run()
        return "done"

    assert unsigned() == "done"


def test_runs_of_killed_processes_are_ended_and_no_others(prefect_url: str, monkeypatch) -> None:
    monkeypatch.setattr("tasks.files.process.this_boot", lambda: {"host": "here 7", "boot": "now"})
    killed = HERE | {"conceptbooth.process.started": "1"}  # a pid that is used again
    labels = {
        "killed": killed,
        "living": HERE,
        "elsewhere": killed | BOOT | {"conceptbooth.process.machine": "another"},
        "rebooted": HERE | BOOT | {"conceptbooth.process.machine": "before", "conceptbooth.process.boot": "before"},
        "another": HERE | {"conceptbooth.process.machine": "x", "conceptbooth.process.host": "there 7"},
        "unsigned": {},
    }
    with get_client(sync_client=True) as client:
        runs = {case: client.create_flow_run(signed, name=case, state=Running()).id for case in labels}
        for case, run in runs.items():
            client.update_flow_run_labels(run, labels[case])
        end_lost_runs(client)
        states = {case: client.read_flow_run(run).state for case, run in runs.items()}
        for run in runs.values():
            client.delete_flow_run(run)
    assert {case: state.name for case, state in states.items()} == {
        "killed": "Crashed",
        "living": "Running",
        "elsewhere": "Running",
        "rebooted": "Crashed",
        "another": "Running",
        "unsigned": "Running",
    }
    assert f"Process {this_process()['pid']} is no more" in states["killed"].message
