import os
from pathlib import Path

import pytest
from dotenv import dotenv_values

from model.errors import InputError
from tasks.project.settings import apply_environment, environment, load_settings
from tasks.project.settings_files import read_dotenv


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    root = (tmp_path / "project").resolve()
    (root / "deep" / "folder").mkdir(parents=True)
    (root / "params.yaml").touch()
    monkeypatch.chdir(root / "deep" / "folder")
    return root


def problems(root: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        load_settings(root)
    return caught.value.problems


def test_the_project_is_the_nearest_folder_upwards_and_keeps_everything_in_one_folder(root):
    settings = load_settings()
    assert settings.root == root
    kept = [settings.store, settings.gallery_dir, settings.prefect_home]
    assert all(path.is_relative_to(root / ".conceptbooth") for path in kept)
    assert settings.mlflow_tracking_uri == f"sqlite:///{root}/.conceptbooth/mlflow/mlflow.db"
    assert settings.mlflow_artifact_root == (root / ".conceptbooth/mlflow/artifacts").as_uri()


def test_no_project_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "CONCEPTBOOTH_ROOT" in problems()[0]
    monkeypatch.setenv("CONCEPTBOOTH_ROOT", str(tmp_path / "nowhere"))
    assert "nowhere" in problems()[0]


def test_environment_wins_over_dotenv_wins_over_the_settings_file(root, monkeypatch):
    (root / "conceptbooth.toml").write_text('store = "from-toml"\ndevice = "cpu"\ngallery_dir = "~/pictures"\n')
    assert load_settings().store == root / "from-toml"
    assert load_settings().gallery_dir == Path.home() / "pictures"
    (root / ".env").write_text("CONCEPTBOOTH_STORE=from-dotenv\nAWS_PROFILE=of-another-tool\n")
    assert load_settings().store == root / "from-dotenv"
    monkeypatch.setenv("CONCEPTBOOTH_STORE", "/from/environment")
    settings = load_settings()
    assert settings.store == Path("/from/environment")
    assert settings.device == "cpu"


def test_dotenv_holds_what_is_read_from_the_environment_alone(root, monkeypatch):
    monkeypatch.delenv("CONCEPTBOOTH_BASE", raising=False)
    (root / ".env").write_text("CONCEPTBOOTH_BASE=models/base\nCONCEPTBOOTH_DEBUG=1\nSHELL=of-another-tool\n")
    found = environment(load_settings())
    assert found["CONCEPTBOOTH_BASE"] == str(root / "models" / "base"), "from the project, wherever the command runs"
    assert found["CONCEPTBOOTH_DEBUG"] == "1"
    assert "SHELL" not in found


def test_the_folders_follow_home(root, monkeypatch):
    monkeypatch.setenv("CONCEPTBOOTH_HOME", "elsewhere")
    settings = load_settings()
    assert settings.store == root / "elsewhere" / "store"
    assert str(root / "elsewhere") in settings.mlflow_tracking_uri


def test_servers_are_known_by_their_own_variables(root, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example/api")
    settings = load_settings()
    assert settings.mlflow_tracking_uri == "http://mlflow.example"
    assert environment(settings)["PREFECT_API_URL"] == "http://prefect.example/api"
    monkeypatch.setenv("CONCEPTBOOTH_MLFLOW_TRACKING_URI", "http://ours.example")
    assert load_settings().mlflow_tracking_uri == "http://ours.example"


def test_all_mistakes_are_named_together(root, monkeypatch):
    monkeypatch.setenv("CONCEPTBOOTH_STROE", "/mnt/store")
    monkeypatch.setenv("CONCEPTBOOTH_DEVICE", "tpu")
    monkeypatch.setenv("CONCEPTBOOTH_CHECKPOINT_EVERY", "often")
    (root / ".env").write_text("CONCEPTBOOTH_GALERY_DIR=x\n")
    (root / "conceptbooth.toml").write_text('stores = "x"\n')
    said = problems()
    assert len(said) == 5
    assert "CONCEPTBOOTH_STROE" in said[0] and "did you mean CONCEPTBOOTH_STORE?" in said[0]
    assert "CONCEPTBOOTH_GALERY_DIR" in said[1] and "CONCEPTBOOTH_GALLERY_DIR" in said[1]
    assert "stores" in said[2]
    assert "device = 'tpu'" in said[3] and "cuda" in said[3]
    assert said[4] == "setting checkpoint_every = 'often': should be like '60 seconds', '25 steps' or 'never'"


def test_a_broken_settings_file_is_named(root):
    (root / "conceptbooth.toml").write_text("store = [\n")
    assert str(root / "conceptbooth.toml") in problems()[0]


def test_what_the_user_has_set_stays(root, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", "/mine")
    monkeypatch.delenv("DVC_GLOBAL_CONFIG_DIR", raising=False)
    apply_environment(load_settings())
    import os

    assert os.environ["PREFECT_HOME"] == "/mine"
    assert os.environ["DVC_GLOBAL_CONFIG_DIR"] == str(root / ".conceptbooth/dvc/global")


def test_matplotlib_keeps_its_fonts_in_the_project(root, monkeypatch):
    monkeypatch.setenv("MPLCONFIGDIR", "")  # so that it is put back
    monkeypatch.delenv("MPLCONFIGDIR")
    apply_environment(load_settings())
    import os

    assert os.environ["MPLCONFIGDIR"] == str(root / ".conceptbooth/matplotlib")


CREDENTIALS = {
    "MLFLOW_TRACKING_USERNAME": "ann",
    "MLFLOW_TRACKING_PASSWORD": "word",
    "PREFECT_API_AUTH_STRING": "ann:word",
    "HF_TOKEN": "hf_x",
}


def test_credentials_beside_addresses_are_handed_on_and_the_environment_wins(root, monkeypatch):
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    (root / ".env").write_text("\n".join(f"{name}={value}" for name, value in CREDENTIALS.items()))
    assert {name: environment(load_settings()).get(name) for name in CREDENTIALS} == CREDENTIALS
    monkeypatch.setenv("HF_TOKEN", "of the shell")
    apply_environment(load_settings())
    assert os.environ["HF_TOKEN"] == "of the shell"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "word"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_files_as_other_systems_save_them(root, encoding):
    (root / ".env").write_bytes("CONCEPTBOOTH_STORE=größe\r\n".encode(encoding))
    (root / "conceptbooth.toml").write_bytes('device = "cpu"\r\n'.encode(encoding))
    settings = load_settings()
    assert (settings.store, settings.device) == (root / "größe", "cpu")


@pytest.mark.parametrize("name", [".env", "conceptbooth.toml"])
def test_files_that_are_no_text_are_named(root, name):
    (root / name).write_bytes(b"# one\n\xff\xfa")
    assert problems() == (f"{root / name}: line 2: no UTF-8 (byte 0xff); save it as UTF-8",)
    (root / name).unlink()
    os.mkfifo(root / name)
    assert problems() == (f"{root / name}: a named pipe; a file is needed",)


def test_a_dotenv_that_doubles_itself_is_refused_at_once(tmp_path):
    (tmp_path / "params.yaml").touch()
    doubled = "".join(f"A{n + 1}=${{A{n}}}${{A{n}}}\n" for n in range(60))
    for text in (f"A0=xxxxxxxx\n{doubled}", f"A={'x' * 500_000}\nB={'${A}' * 100_000}\n"):
        (tmp_path / ".env").write_text(text)
        with pytest.raises(InputError, match=r"\.env: [AB]\d*: with what .* more than 1 MB"):
            load_settings(tmp_path)


def test_a_dotenv_s_names_stand_for_earlier_lines_and_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTSIDE", "out")
    (tmp_path / ".env").write_text("A=in\nB=${A}-${OUTSIDE}-${NONE:-else}\nC='$A'\nD\nE=\n")
    expected = {"A": "in", "B": "in-out-else", "C": "$A", "D": None, "E": ""}
    assert read_dotenv(tmp_path) == expected == dotenv_values(tmp_path / ".env")
