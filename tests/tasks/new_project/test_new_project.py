"""A project in one call: complete, committed, fitting its base, and made without asking anybody."""

import json
import subprocess

import pytest
import yaml

from model.errors import InputError
from tasks.new_project.bases import KNOWN, TOYWORLD
from tasks.new_project.new_project import make_project
from tasks.new_project.shipped import embedded_world
from tasks.project.params import load_params
from tasks.project.prompt_sets import load_prompt_set
from tasks.project.settings import load_settings
from tasks.promotion.policy import load_policy
from tests.data_project import git
from tests.model.tiny import write_tiny_xl_base
from tests.model.tiny_joint import JOINT


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*arguments):
        raise AssertionError(f"the network was asked: {arguments}")

    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.mark.parametrize("base", [*KNOWN, "some/base"])
def test_a_project_is_complete_and_committed(tmp_path, base):
    made = make_project(tmp_path / "new", base)
    assert git(made.folder, "status", "--porcelain") == ""
    assert git(made.folder, "rev-list", "--count", "HEAD").strip() == "1"
    settings = load_settings(made.folder)
    params = load_params(settings.params_file)
    prompts = load_prompt_set(made.folder / params.evaluation.prompts).prompts
    assert len(prompts) == (10 if base == TOYWORLD else 24)
    policy = load_policy(settings)
    assert policy.minimum == made.choice.minimum and policy.not_worse_than_champion == ("clip_i", "clip_t")
    if made.choice.licence:
        assert made.choice.licence in policy.base_licences
    for file in (".dvc/config", ".dvcignore", "constraints.txt", "prefect.yaml", "README.md"):
        assert (made.folder / file).is_file()
    words = (made.folder / "mlflow/promotion.yaml").read_text()
    assert ("embedded base" in words) == (base == TOYWORLD)


def test_the_embedded_models_are_copied_whole(tmp_path):
    made = make_project(tmp_path / "new", "toyworld")
    params = load_params(made.folder / "params.yaml")
    for reference, place in (
        (params.base, "base"),
        (params.evaluator, "evaluator/clip"),
        (params.identity_model, "evaluator/vit"),
    ):
        files = {path.relative_to(made.folder / reference): path for path in (made.folder / reference).rglob("*")}
        source = embedded_world() / place
        assert set(files) == {path.relative_to(source) for path in source.rglob("*")}
        tracked = git(made.folder, "ls-files", reference).splitlines()
        assert len(tracked) == sum(path.is_file() for path in files.values())


@pytest.mark.parametrize("base", ["sd15", "sd21", "sdxl"])
def test_known_bases_are_pinned(tmp_path, base):
    made = make_project(tmp_path / "new", base)
    params = load_params(made.folder / "params.yaml")
    for name in ("base", "evaluator", "identity_model"):
        assert len(getattr(params, f"{name}_revision")) == 40
    assert not [model for model in made.choice.models if model.unpinned]
    by_id = make_project(tmp_path / "by-id", params.base)
    assert by_id.choice == made.choice, "the hub id of a known base is that base"


@pytest.mark.parametrize("family", JOINT)
def test_a_base_with_joint_attention_has_its_own_preset(tmp_path, family):
    """Whether it is called by its short name, by its hub id, or lies in a folder."""
    called = make_project(tmp_path / "called", family).choice
    assert (called.method, called.preset, called.licence) == ("attndreambooth", "joint_attention", "Apache-2.0")
    assert called.base.unpinned, "doctor asks the hub for the commit"
    assert make_project(tmp_path / "by-id", called.base.reference).choice == called
    found = make_project(tmp_path / "own", str(JOINT[family](tmp_path / "base"))).choice
    for value in ("method", "preset", "guidance_scale", "num_inference_steps", "batch_size"):
        assert getattr(found, value) == getattr(called, value)


def test_another_hub_id_is_written_unpinned(tmp_path):
    made = make_project(tmp_path / "new", "some/base")
    content = yaml.safe_load((made.folder / "params.yaml").read_text())
    assert (content["base"], content["base_revision"], content["base_licence"]) == ("some/base", "newest", None)
    assert made.choice.base.unpinned


def test_a_folder_is_named_by_its_path_and_measured(tmp_path, base_folder):
    made = make_project(tmp_path / "new", str(base_folder))
    params = load_params(made.folder / "params.yaml")
    assert (made.folder / params.base).resolve() == base_folder and params.base_revision is None
    assert (params.method, params.preset) == ("attndreambooth", "published")


def test_a_base_of_1024_pixels_is_trained_by_loras(tmp_path):
    folder = write_tiny_xl_base(tmp_path / "xl base")
    config = folder / "unet/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": 512}))
    made = make_project(tmp_path / "new", str(folder))
    params = load_params(made.folder / "params.yaml")
    assert params.base == "../xl base" and params.method == "attndreambooth_lora"
    assert params.prepare.max_short_side == 1024


def test_what_is_refused_leaves_nothing(tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").touch()
    with pytest.raises(InputError, match="there is something already"):
        make_project(full, "sd21")
    for base, said in (
        ("no-such", "name one of toyworld, sd15"),
        ("./no/such", "no such folder"),
        (str(full), "no diff"),
    ):
        with pytest.raises(InputError, match=said):
            make_project(tmp_path / "new", base)
    (full / "params.yaml").touch()
    with pytest.raises(InputError, match="lies in the project"):
        make_project(full / "inner", "sd21")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def test_an_empty_folder_is_taken_and_git_knows_who_commits(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    folder = tmp_path / "new"
    folder.mkdir()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    make_project(folder, "sd21")
    monkeypatch.delenv("GIT_DIR")
    assert not (tmp_path / "elsewhere").exists()
    assert git(folder, "log", "-1", "--format=%ae").strip() == "conceptbooth@localhost"
    (home / ".gitconfig").write_text("[user]\n\tname = A\n\temail = a@example.org\n")
    make_project(tmp_path / "mine", "sd21")
    said = subprocess.run(["git", "log", "--format=%ae"], cwd=tmp_path / "mine", capture_output=True, text=True)
    assert said.stdout.strip() == "a@example.org"
