"""Paths and names are neither markup nor addresses; an address has a known scheme or is refused."""

from pathlib import Path

import pytest

from model.errors import InputError
from tasks.dvc.storage import FolderRemote, dvc_storage
from tasks.files.addresses import hide_credentials, parse_address, without_credentials
from tasks.files.s3_url import S3Url
from tasks.project.private import keep_private, remove_unused
from tasks.project.settings import load_settings
from tasks.tracking.address import is_unused, sqlite_file
from tasks.tracking.client import connect

STRANGE = (
    *("S3://bucket/x", "s3:/bucket/x", "s3:bucket", "gs://bucket/x", "az://box/x", "abfss://b/c", "GS://b"),
    *("https://bucket.s3.amazonaws.com/x", "ftp://host/x", "file://host/x", "file://relative", "file:/x", "s4://b/c"),
)


@pytest.mark.parametrize("text", [*STRANGE, "s3://MyBucket/x", "s3://", "~nobody-of-this-name/x"])
def test_what_is_no_known_address_is_refused_as_it_was_written(tmp_path: Path, monkeypatch, text: str) -> None:
    (tmp_path / "params.yaml").touch()
    for name in ("STORE", "PRODUCTION_STORE", "PREFECT_RESULTS"):
        with monkeypatch.context() as patch:
            patch.setenv(f"CONCEPTBOOTH_{name}", text)
            with pytest.raises(InputError) as caught:
                load_settings(tmp_path)
            assert repr(text) in str(caught.value)
    assert list(tmp_path.iterdir()) == [tmp_path / "params.yaml"]


@pytest.mark.parametrize("name", ["HOME", "GALLERY_DIR", "CONCEPTS_DIR", "PREFECT_HOME", "SIGNING_KEY"])
@pytest.mark.parametrize("text", ["s3://bucket/x", "gs://bucket/x"])
def test_a_folder_of_this_machine_is_in_no_bucket(tmp_path: Path, monkeypatch, name: str, text: str) -> None:
    (tmp_path / "params.yaml").touch()
    monkeypatch.setenv(f"CONCEPTBOOTH_{name}", text)
    with pytest.raises(InputError, match="write a folder, file:///folder"):
        load_settings(tmp_path)


def test_addresses_mean_what_they_say(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "params.yaml").touch()
    monkeypatch.setenv("HOME", "/home/somebody")
    for text, meant in {
        "s3://bucket/a/b": S3Url(bucket="bucket", prefix="a/b"),
        "file:///srv/a%20b%23": Path("/srv/a b#"),
        "file://localhost/srv": Path("/srv"),
        "~/store": Path("/home/somebody/store"),
        "store": tmp_path / "store",
        "a:b": tmp_path / "a:b",
        "../x": tmp_path.parent / "x",
        "[/nope]": tmp_path / "[/nope]",
    }.items():
        monkeypatch.setenv("CONCEPTBOOTH_STORE", text)
        assert load_settings(tmp_path).store == meant
    for text, address in {
        "files": (tmp_path / "files").as_uri(),
        "~/files": "file:///home/somebody/files",
        "s3://bucket/x": "s3://bucket/x",
        "file:///x": "file:///x",
    }.items():
        monkeypatch.setenv("CONCEPTBOOTH_MLFLOW_ARTIFACT_ROOT", text)
        assert load_settings(tmp_path).mlflow_artifact_root == address
    monkeypatch.setenv("CONCEPTBOOTH_MLFLOW_ARTIFACT_ROOT", "S3://bucket/x")
    with pytest.raises(InputError, match="'S3://bucket/x'"):
        load_settings(tmp_path)


@pytest.mark.parametrize("url", ["S3://bucket/x", "s3:/bucket/x", "az://box/x", "file://host/x", "swift://x"])
def test_so_it_is_with_dvcs_remotes(project, url: str) -> None:
    remote(project.root, url)
    with pytest.raises(InputError, match=r"DVC remote 'there' in \.dvc/config"):
        dvc_storage(project)


def test_a_folder_as_dvcs_remote(project, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for url, folder in {
        "~/remote": Path("/home/somebody/remote"),
        "file:///srv/remote": Path("/srv/remote"),
        "../remote": project.root / "remote",
    }.items():
        remote(project.root, url)
        assert dvc_storage(project).remote == FolderRemote(folder=folder)


def test_a_project_may_lie_anywhere_but_where_an_address_would_end(tmp_path: Path) -> None:
    for name in ("a#b", "a%20b", "a b", "[/nope]", "100%", "out[red]side["):
        root = tmp_path / name
        root.mkdir(parents=True)
        (root / "params.yaml").touch()
        settings = load_settings(root)
        assert sqlite_file(settings.mlflow_tracking_uri) == root / ".conceptbooth/mlflow/mlflow.db"
        assert is_unused(settings)
    connect(settings).create_registered_model("one")
    assert not is_unused(settings)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.db*")}
    assert found == {"out[red]side[/.conceptbooth/mlflow/mlflow.db"}
    (tmp_path / "a?b").mkdir()
    (tmp_path / "a?b" / "params.yaml").touch()
    with pytest.raises(InputError, match=r"a\?b.*ends at a \?"):
        load_settings(tmp_path / "a?b")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://somebody:secret@host:4200/api", "http://host:4200/api"),
        ("http://somebody:se/cret@host:4200/api", "http://host:4200/api"),
        ("http://somebody:se@cret@host/api", "http://host/api"),
        ("http://token@host", "http://host"),
        ("https://host/path?signature=secret", "https://host/path"),
        ("https://host/path@version", "https://host/path@version"),
        ("ssh://me:secret@host/x", "ssh://host/x"),
        ("postgresql+psycopg2://a:secret@host/db?password=secret", "postgresql+psycopg2://host/db"),
        ("/a/folder", "/a/folder"),
        ("s3://bucket/x", "s3://bucket/x"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, shown: str) -> None:
    assert without_credentials(address) == shown


def test_a_place_is_not_changed_by_being_read() -> None:
    assert parse_address("a//b/../c", also_s3=False) == Path("a//b/../c")


def remote(root: Path, url: str) -> None:
    (root / ".dvc").mkdir(exist_ok=True)
    (root / ".dvc/config").write_text(f"[core]\nremote = there\n['remote \"there\"']\nurl = {url}\n")


def test_nor_is_it_in_what_libraries_say_of_it() -> None:
    said = "Client error '401 Unauthorized' for url 'http://me:secret@host:1/api/health'"
    assert "secret" not in hide_credentials(said, "http://me:secret@host:1/api")
    assert hide_credentials("plain", "http://host/api") == "plain"


@pytest.mark.parametrize("name", ["notify_token", "signing_key_password", "notify_url"])
@pytest.mark.parametrize("value", ['["hunter2"]', "20250101123456", '{secret = "hunter2"}'])
def test_a_secret_of_the_wrong_type_is_not_printed(tmp_path: Path, name: str, value: str) -> None:
    (tmp_path / "params.yaml").touch()
    (tmp_path / "conceptbooth.toml").write_text(f"{name} = {value}\n")
    with pytest.raises(InputError) as caught:
        load_settings(tmp_path)
    assert name in str(caught.value)
    assert "hunter2" not in str(caught.value) and "20250101123456" not in str(caught.value)


def test_an_address_that_is_refused_is_shown_without_its_password(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "params.yaml").touch()
    for name in ("PREFECT_API_URL", "STORE", "CONCEPTBOOTH_S3_ENDPOINT_URL"):
        with monkeypatch.context() as patch:
            patch.setenv(name if name != "STORE" else "CONCEPTBOOTH_STORE", "weird://me:hunter2@host/x")
            with pytest.raises(InputError) as caught:
                load_settings(tmp_path)
            assert "host" in str(caught.value) and "hunter2" not in str(caught.value)


def test_the_projects_own_folder_is_closed_to_others(tmp_path: Path) -> None:
    home = tmp_path / "a" / ".conceptbooth"
    keep_private(home)
    assert home.stat().st_mode & 0o777 == 0o700
    remove_unused()
    assert not home.exists()
    home.mkdir(mode=0o755)
    keep_private(home)
    remove_unused()
    assert home.stat().st_mode & 0o777 == 0o700
