"""Prefect's results in S3: found by every machine, without credentials on the server, and never the truth."""

import pytest
from prefect import flow
from prefect.settings import temporary_settings

from flows.server.local_api import PrefectApi, flows_run_at
from flows.server.result_storage import save_result_block
from tasks.execution.reporting import Silence
from tasks.execution.stage_context import StageContext
from tasks.execution.stage_task import stage_task
from tasks.jobs.jobs import plan_jobs
from tasks.project.settings import Settings, environment, result_block
from tasks.store.s3 import s3_client


@pytest.fixture
def settings(project, s3_bucket, s3_server) -> Settings:
    return Settings(root=project.root, prefect_results=f"s3://{s3_bucket}/results", s3_endpoint_url=s3_server)


def test_another_machine_finds_the_results(settings, prefect_url, s3_bucket, tmp_path):
    (job,) = plan_jobs(settings, ["turtle"])
    plan = job.stages[0]
    times = []

    def work(_plan, _context, _inputs, folder):
        times.append(1)
        (folder / "result").write_text("done")
        return {}

    stage = stage_task("prepare", work)

    @flow(persist_result=False)
    def run() -> str:
        return stage(plan, StageContext(job, Silence()), [], return_state=True).name

    names = []
    for machine in ("one", "other"):
        here = temporary_settings({"results.local_storage_path": tmp_path / machine})
        with here, flows_run_at(PrefectApi(url=prefect_url, settings=settings)):
            names.append(run())
    assert names == ["Completed", "Cached"] and len(times) == 1
    keys = [entry["Key"] for entry in s3_client().list_objects_v2(Bucket=s3_bucket, Prefix="results/")["Contents"]]
    assert any(plan.key in key for key in keys)
    assert not (tmp_path / "one").exists()


def test_the_block_holds_no_credentials_and_can_be_saved_again(settings, prefect_url):
    from prefect_aws import S3Bucket

    for _ in range(2):
        save_result_block(settings)
    block = S3Bucket.load(result_block(settings.prefect_results).rpartition("/")[2])
    assert (block.bucket_name, block.bucket_folder) == (settings.prefect_results.bucket, "results")
    assert block.credentials.aws_access_key_id is None and block.credentials.aws_secret_access_key is None


def test_processes_with_their_own_prefect_are_told_by_the_environment(settings, project):
    assert environment(settings)["PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK"] == result_block(settings.prefect_results)
    assert "PREFECT_LOCAL_STORAGE_PATH" not in environment(settings)
    assert environment(project)["PREFECT_LOCAL_STORAGE_PATH"] == str(project.prefect_home / "results")
