"""MLflow's artefacts in S3: what is registered there comes back, and nothing of it stays in the project."""

from tasks.project.settings import apply_environment
from tasks.registry.reference import VersionReference
from tasks.registry.registration import register
from tasks.registry.versions import resolve
from tasks.store.s3 import s3_client
from tests.tasks.finished_training import concept, project, training


def test_a_version_travels_to_s3_and_back(tmp_path, s3_bucket, s3_server, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")  # the setting alone has to reach MLflow
    root = f"s3://{s3_bucket}/mlflow"
    settings = project(tmp_path / "project", mlflow_artifact_root=root, s3_endpoint_url=s3_server)
    apply_environment(settings)
    weights = b"weights of the concept"
    registered = register(settings, concept(settings), training(settings, weights=weights))
    again = register(settings, concept(settings), training(settings, weights=weights))
    assert (again.version, again.created) == (registered.version, False)
    pages = s3_client(s3_server).list_objects_v2(Bucket=s3_bucket, Prefix="mlflow/")["Contents"]
    assert sum(entry["Key"].endswith("concept.safetensors") for entry in pages) >= 1
    assert (resolve(settings, VersionReference.parse("turtle")).folder / "concept.safetensors").read_bytes() == weights
    assert not (settings.home / "mlflow" / "artifacts").exists()
