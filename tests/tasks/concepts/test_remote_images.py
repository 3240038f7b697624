"""Image sets on a machine that has none of their files: fetched by hash from the remote that DVC itself has filled."""

import shutil
from pathlib import Path

import pytest

import tasks.store.s3
from model.errors import WorkFailed
from tasks.concepts.concepts import load_concept
from tasks.concepts.image_sets import ImagesMissing, image_set, local_images
from tasks.dvc.command import dvc_add, run_dvc
from tasks.project.settings import Settings
from tasks.store.blobs import StoreFailed
from tests.data_project import commit, make_project, photos
from tests.s3 import relay
from tests.tasks.concepts.test_image_sets import CONCEPT


@pytest.fixture(scope="module")
def pushed(tmp_path_factory) -> Path:
    """A project with one concept, added and pushed by DVC to a remote that is a folder beside it."""
    root = tmp_path_factory.mktemp("pushed") / "here"
    settings = make_project(root)
    folder = settings.concepts_dir / "pot"
    photos(folder / "images")
    (folder / "concept.yaml").write_text(CONCEPT)
    run_dvc(settings, "remote", "add", "--default", "shared", "../remote")
    dvc_add(settings, folder / "images")
    run_dvc(settings, "push")
    commit(root)
    return root


@pytest.fixture(params=["folder", "s3"])
def worker(request, pushed, tmp_path) -> Settings:
    """The same commit on another machine: no images, no cache."""
    shutil.copytree(pushed.parent, tmp_path / "there")
    root = tmp_path / "there" / "here"
    shutil.rmtree(root / ".conceptbooth")
    shutil.rmtree(root / "data/concepts/pot/images")
    if request.param == "s3":
        bucket = request.getfixturevalue("s3_bucket")
        client, remote = tasks.store.s3.s3_client(), tmp_path / "there" / "remote"
        for path in remote.rglob("*"):
            if path.is_file():
                client.put_object(Bucket=bucket, Key=f"dvc/{path.relative_to(remote)}", Body=path.read_bytes())
        configure(root, f"s3://{bucket}/dvc")
    return Settings(root=root)


def configure(root: Path, url: str, **options: str) -> None:
    lines = [f"{name} = {value}" for name, value in {"url": url, **options}.items()]
    section = "\n    ".join(["['remote \"shared\"']", *lines])
    (root / ".dvc" / "config.local").write_text(f"[core]\n    remote = shared\n{section}\n")


def test_a_worker_without_images_has_the_same_set_and_fetches_its_files(worker, pushed):
    concept = load_concept(worker, "pot")
    images = image_set(worker, concept)
    there = image_set(Settings(root=pushed), load_concept(Settings(root=pushed), "pot"))
    assert (images.digest, images.files) == (there.digest, there.files)
    for name, path in local_images(worker, concept, images).items():
        assert path.read_bytes() == (pushed / "data/concepts/pot/images" / name).read_bytes()
    assert not concept.images.exists()
    shutil.rmtree(worker.root.parent / "remote")  # by now the cache has them
    shutil.rmtree(worker.home / "images")
    assert len(local_images(worker, concept, images)) == 3


def test_a_file_of_the_working_copy_is_taken_only_if_it_fits(worker, pushed):
    worker = Settings(root=worker.root, images="record")
    concept = load_concept(worker, "pot")
    images = image_set(worker, concept)
    shutil.copytree(pushed / "data/concepts/pot/images", concept.images)
    (concept.images / "photo-1.png").write_bytes(b"of another version")
    assert image_set(worker, concept) == images and not images.dirty
    paths = local_images(worker, concept, images)
    assert paths["photo-1.png"].read_bytes() == (pushed / "data/concepts/pot/images/photo-1.png").read_bytes()
    cached = [path.name for path in (worker.home / "dvc/cache/files/md5").rglob("*") if path.is_file()]
    listing, fetched = images.digest[2:], {file.relpath: file.md5[2:] for file in images.files}["photo-1.png"]
    assert sorted(cached) == sorted([listing, fetched]), "what fits is not fetched"


def test_what_the_remote_lacks_is_told_before_any_work(worker):
    images = image_set(worker, load_concept(worker, "pot"))
    configure(worker.root, str(worker.root.parent / "remote"))
    md5 = images.files[1].md5
    (worker.root.parent / f"remote/files/md5/{md5[:2]}/{md5[2:]}").unlink()
    with pytest.raises(ImagesMissing) as caught:
        image_set(worker, load_concept(worker, "pot"))
    said = str(caught.value)
    assert md5[2:] in said and str(worker.root.parent / "remote") in said and "`dvc push`" in said


def test_a_file_that_is_damaged_in_the_remote_is_never_used(worker):
    concept = load_concept(worker, "pot")
    images = image_set(worker, concept)
    configure(worker.root, str(worker.root.parent / "remote"))
    md5 = images.files[1].md5
    path = worker.root.parent / f"remote/files/md5/{md5[:2]}/{md5[2:]}"
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(WorkFailed, match=rf"concept 'pot': photo-1\.png .*{md5}"):
        local_images(worker, concept, images)
    assert not list((worker.home / "images").glob("*.dir"))


def test_a_damaged_file_of_the_cache_is_fetched_again(worker):
    concept = load_concept(worker, "pot")
    images = image_set(worker, concept)
    before = {name: path.read_bytes() for name, path in local_images(worker, concept, images).items()}
    md5 = images.files[1].md5
    cached = worker.home / f"dvc/cache/files/md5/{md5[:2]}/{md5[2:]}"
    cached.chmod(0o644)
    cached.write_bytes(b"rotten")
    shutil.rmtree(worker.home / "images")
    assert {name: path.read_bytes() for name, path in local_images(worker, concept, images).items()} == before


def test_what_was_gathered_and_edited_is_put_right(worker):
    concept = load_concept(worker, "pot")
    images = image_set(worker, concept)
    path = local_images(worker, concept, images)["photo-0.png"]
    before = path.read_bytes()
    path.write_bytes(b"edited")
    assert local_images(worker, concept, images)["photo-0.png"].read_bytes() == before


def test_an_outage_of_the_remote_is_no_absence(worker, s3_server, s3_bucket, monkeypatch):
    monkeypatch.setattr(tasks.store.s3, "_TRIES", 1)
    with relay(s3_server) as before:
        configure(worker.root, f"s3://{s3_bucket}/dvc", endpointurl=before.url)
        before.answer = (503, "SlowDown")
        with pytest.raises(StoreFailed, match=rf"DVC remote s3://{s3_bucket}/dvc.*503") as caught:
            image_set(worker, load_concept(worker, "pot"))
    assert caught.value.retryable
    configure(worker.root, "s3://no-such-bucket/dvc")
    with pytest.raises(StoreFailed, match="bucket does not exist"):
        image_set(worker, load_concept(worker, "pot"))
    configure(worker.root, "../nowhere")
    with pytest.raises(StoreFailed, match="nowhere"):
        image_set(worker, load_concept(worker, "pot"))
    configure(worker.root, "gs://bucket/dvc")
    with pytest.raises(ImagesMissing, match="gs://bucket/dvc can be read by DVC alone"):
        image_set(worker, load_concept(worker, "pot"))


def test_keys_in_the_configuration_are_used_and_never_shown(worker, s3_bucket, monkeypatch):
    from tasks.dvc.storage import dvc_storage

    configure(worker.root, f"s3://{s3_bucket}/dvc", access_key_id="configured", secret_access_key="hush")
    remote = dvc_storage(worker).remote
    assert remote._client._request_signer._credentials.access_key == "configured"
    assert "hush" not in repr(remote)


def test_dvc_itself_pushes_to_where_workers_fetch_from(pushed, tmp_path, s3_bucket, s3_server, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")  # the setting alone has to reach both
    for name in ("owner", "worker"):
        shutil.copytree(pushed, tmp_path / name)
        configure(tmp_path / name, f"s3://{s3_bucket}/dvc")
    run_dvc(Settings(root=tmp_path / "owner", s3_endpoint_url=s3_server), "push")
    worker = Settings(root=tmp_path / "worker", s3_endpoint_url=s3_server)
    shutil.rmtree(worker.home)
    concept = load_concept(worker, "pot")
    shutil.rmtree(concept.images)
    assert len(local_images(worker, concept, image_set(worker, concept))) == 3
