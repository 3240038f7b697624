"""MLflow's artefacts in S3: what is registered there comes back, and nothing of it stays in the project."""

import pytest

from model.errors import InputError
from tasks.project.settings import apply_environment
from tasks.registry.reference import VersionReference
from tasks.registry.registration import register
from tasks.registry.versions import WEIGHTS_SHA256_TAG, resolve
from tasks.store.s3 import s3_client
from tasks.tracking.client import connect
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


def test_what_comes_from_s3_is_hashed_whole_and_kept_under_no_name_that_leads_out(tmp_path, s3_bucket):
    turtle = VersionReference.parse("turtle")
    settings = project(tmp_path / "project", mlflow_artifact_root=f"s3://{s3_bucket}/mlflow")
    register(settings, concept(settings), training(settings))
    package = resolve(settings, turtle).folder.parent
    assert package.is_relative_to(settings.home / "versions")
    drawing = package / "code" / "model" / "drawing" / "sample.py"
    content = drawing.read_bytes()
    drawing.write_bytes(b"import os")  # the copy is damaged: it is fetched again
    assert (resolve(settings, turtle).folder.parent / drawing.relative_to(package)).read_bytes() == content
    client, name = s3_client(), "code/model/drawing/sample.py"
    (key,) = [e["Key"] for e in client.list_objects_v2(Bucket=s3_bucket)["Contents"] if e["Key"].endswith(name)]
    client.put_object(Bucket=s3_bucket, Key=key, Body=b"import os")
    drawing.write_bytes(b"import os")
    with pytest.raises(InputError, match=r"sample.py its sha256 is not the one"):
        resolve(settings, turtle)
    victim = settings.home / "x" / "y"
    victim.mkdir(parents=True)
    connect(settings).set_model_version_tag("concept.turtle", "1", WEIGHTS_SHA256_TAG, "/../../x/y" + "a" * 54)
    with pytest.raises(InputError, match="is no sha256"):
        resolve(settings, turtle)
    assert victim.is_dir()
