"""`conceptbooth generate` on a registered version: a real registry, a real (tiny, untrained) base, real pictures."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli.app import app
from model.bases.prompt import ConceptPrompt
from model.drawing.sampling_options import Sampling
from model.marks.marking import read_mark
from model.weights.concept import ConceptWeights
from tasks.project.settings import Settings
from tasks.registry.registration import register
from tasks.store.manifest import Facts
from tasks.store.store import open_store
from tests.model.tiny import WIDTH, write_tiny_base
from tests.tasks.finished_training import STAGES, concept, project, training

PARAMS = """\
base: base
evaluator: evaluator
method: attndreambooth
preset: toyworld
sampling: {guidance_scale: 3.0, num_inference_steps: 2, batch_size: 2}
evaluation: {prompts: prompts.yaml, images_per_prompt: 1}
"""
SNOW = "a photo of the {} in the snow"


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A project with one registered version of the concept turtle."""
    settings = project(tmp_path_factory.mktemp("generate") / "project")
    write_tiny_base(settings.root / "base")
    (settings.root / "params.yaml").write_text(PARAMS)
    manifests = training(settings)
    last = manifests[STAGES[-1]]
    weights = settings.home / "weights"
    weights.mkdir()
    embedding = torch.linspace(-0.5, 1.0, WIDTH)[None]
    ConceptWeights(prompt=ConceptPrompt("<turtle>", "turtle"), embeddings=(embedding,)).save(
        weights / "concept.safetensors"
    )
    (weights / "curves.json").write_bytes(open_store(settings).file(last, "curves.json").read_bytes())
    facts = {field.name: getattr(last, field.name) for field in fields(Facts)} | {"key": "d" * 64}
    manifests[STAGES[-1]] = open_store(settings).publish(weights, Facts(**facts))
    register(settings, concept(settings), manifests)
    return settings


@pytest.fixture(autouse=True)
def _inside(registered: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(os, "environ", os.environ.copy())  # what a command sets must not reach the next test
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registered.mlflow_tracking_uri)
    monkeypatch.chdir(registered.root)
    yield


def generate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["generate", *map(str, arguments)])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_pictures_are_written_and_named(tmp_path: Path) -> None:
    done = generate("turtle", SNOW, "a red {}", "-n", 2, "-o", tmp_path, "--seed", 5)
    assert done.exit_code == 0, done.output
    files = [Path(line) for line in done.stdout.splitlines()]
    stems = ("turtle-v1-a-photo-of-the-turtle-in-the-snow-5", "turtle-v1-a-red-turtle-5")
    assert sorted(file.name for file in files) == sorted(f"{stem}-{index}.png" for stem in stems for index in (0, 1))
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert {Image.open(file).size for file in files} == {(16, 16)}


def test_json_tells_what_the_model_read(tmp_path: Path) -> None:
    done = generate("turtle@candidate", SNOW, "-n", 1, "-o", tmp_path, "--seed", 5, "--json")
    document = json.loads(done.stdout)
    assert (document["concept"], document["version"], document["seed"]) == ("turtle", 1, 5)
    (picture,) = document["pictures"]
    assert picture["prompt"] == SNOW
    assert picture["text"] == "a photo of the <turtle> turtle in the snow"
    assert Path(picture["file"]).is_file()


def test_a_seed_gives_the_same_pictures_whatever_is_made_beside_them(tmp_path: Path) -> None:
    for folder, arguments in {
        "one": [SNOW, "-n", 1, "--seed", 5],
        "many": ["a {}", SNOW, "-n", 3, "--seed", 5],
        "other": [SNOW, "-n", 1, "--seed", 6],
    }.items():
        assert generate("turtle/1", *arguments, "-o", tmp_path / folder).exit_code == 0
    name = "turtle-v1-a-photo-of-the-turtle-in-the-snow"
    first = pixels(tmp_path / "one" / f"{name}-5-0.png").astype(int)
    assert np.abs(first - pixels(tmp_path / "many" / f"{name}-5-0.png")).max() <= 1
    assert np.abs(first - pixels(tmp_path / "many" / f"{name}-5-1.png")).max() > 1
    assert np.abs(first - pixels(tmp_path / "other" / f"{name}-6-0.png")).max() > 1


def test_the_same_command_again_changes_nothing(tmp_path: Path) -> None:
    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    generate("turtle", SNOW, "-n", 2, "-o", tmp_path)
    before = content()
    again = generate("turtle", SNOW, "-n", 2, "-o", tmp_path)
    assert (again.exit_code, content()) == (0, before)
    assert len(before) == 2


def test_the_placeholder_and_the_category_reach_the_model(tmp_path: Path) -> None:
    """With and without the concept's word the pictures differ: the learned embedding is in use."""
    from model.bases.base import load_base
    from model.drawing.sample import generate as draw
    from model.drawing.sampling_options import Sampling

    generate("turtle", SNOW, "-n", 1, "-o", tmp_path)
    (made,) = tmp_path.iterdir()
    sampling = Sampling(guidance_scale=3.0, num_inference_steps=2, seed=0, batch_size=2)
    ((plain,),) = draw(load_base("base"), None, ["a photo of the turtle in the snow"], 1, sampling)
    assert np.abs(pixels(made).astype(int) - np.asarray(plain)).max() > 1


def refused(done: Result, folder: Path, *said: str) -> None:
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    for words in said:
        assert words in done.stderr
    assert not folder.exists()


def test_what_cannot_be_drawn_or_signed_is_all_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONCEPTBOOTH_C2PA_KEY", "key.pem")
    done = generate("turtle", "no concept", "a {} beside a {}", "", "-o", tmp_path / "new")
    refused(done, tmp_path / "new", '"no concept"', '"a {} beside a {}"', "4 problems", "a photo of a {} in the snow")
    assert "CONCEPTBOOTH_C2PA_CERTIFICATES is not set" in done.stderr


def test_a_prompt_that_is_too_long_says_what_would_be_cut_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.bases.base.load_base", lambda *_, **__: pytest.fail("the base was loaded"))
    prompt = "a {} " + "on the red beach " * 4
    done = generate("turtle", prompt, "-n", 1, "-o", tmp_path / "new")
    refused(done, tmp_path / "new", "would be cut off", f'prompt "{prompt.strip()}"')
    assert "version 1" not in done.stderr, "no picture was announced"
    assert "Token indices" not in done.stderr


def test_a_folder_on_which_nobody_can_write_is_refused_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tasks.drawing.generate.resolve", lambda *_: pytest.fail("the registry was asked"))
    refused(generate("turtle", "a {}", "-o", "/proc/new"), Path("/proc/new"), "/proc cannot be written", "-o")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("turtel", "did you mean 'turtle'?"),
        ("turtle/7", "versions: 1"),
        ("turtle@champion", "@candidate (version 1)"),
        ("turtle@1@2", "NAME@alias"),
    ],
)
def test_what_is_not_registered_is_refused_with_what_is(reference: str, said: str, tmp_path: Path) -> None:
    refused(generate(reference, "a {}", "-o", tmp_path / "new"), tmp_path / "new", said)


def test_another_base_than_that_of_the_training_is_refused(registered: Settings, tmp_path: Path) -> None:
    config = registered.root / "base" / "unet" / "config.json"
    before = config.read_text()
    config.write_text(before + " ")
    try:
        refused(
            generate("turtle", "a {}", "-o", tmp_path / "new"), tmp_path / "new", "unet/config.json", "train turtle"
        )
    finally:
        config.write_text(before)


def test_the_base_may_lie_elsewhere_and_must_be_the_same(
    registered: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "base"
    shutil.copytree(registered.root / "base", elsewhere)
    monkeypatch.setenv("CONCEPTBOOTH_BASE", str(elsewhere))
    (registered.root / "base").rename(registered.root / "moved")
    try:
        done = generate("turtle", SNOW, "-n", 1, "-o", tmp_path / "same")
        assert done.exit_code == 0, done.output
        (elsewhere / "unet" / "config.json").write_text("{}")
        done = generate("turtle", SNOW, "-n", 1, "-o", tmp_path / "other")
        refused(done, tmp_path / "other", str(elsewhere), "unet/config.json", "CONCEPTBOOTH_BASE")
    finally:
        (registered.root / "moved").rename(registered.root / "base")


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = generate("turtle", "a {}", "-o", tmp_path / "file" / "new")
    assert done.exit_code == 2
    assert "is a file" in done.stderr


def test_prompts_of_the_same_words_keep_their_pictures_apart(tmp_path: Path) -> None:
    done = generate("turtle", "a {}, red", "a {} red", "-n", 1, "-o", tmp_path)
    names = sorted(Path(line).name for line in done.stdout.splitlines())
    assert names == ["turtle-v1-a-turtle-red-0-0.png", "turtle-v1-a-turtle-red-0-prompt2-0.png"]


def test_what_other_programs_read_as_instructions_is_drawn_with_a_hint(tmp_path: Path) -> None:
    done = generate("turtle", "a {} (snow:1.3)", "-o", tmp_path, "--json")
    assert done.exit_code == 0, done.output
    assert "hint: prompt" in done.stderr
    assert "(snow:1.3) means something to other programs" in " ".join(done.stderr.split())


def test_a_seed_that_is_no_whole_number_and_a_text_that_is_none_are_refused(tmp_path: Path) -> None:
    for arguments in (("a {} in the snow", "--seed", "7.0"), ("a {} in the snow\udcff",)):
        done = generate("turtle", *arguments, "-o", tmp_path)
        assert done.exit_code == 2, done.output
    assert Sampling(seed=7.0).problems() == [  # type: ignore[arg-type]
        "sampling.seed = 7.0: a whole number from 0 to 9.22337203685e+18 is needed"
    ]
    assert not list(tmp_path.iterdir())


def test_steps_guidance_size_and_negative_prompt_change_what_is_drawn_and_stand_in_the_mark(tmp_path: Path) -> None:
    def drawn(*options: object) -> Path:
        done = generate("turtle", SNOW, "-n", 1, "-o", tmp_path, *options)
        assert done.exit_code == 0, done.output
        return Path(done.stdout.strip())

    asked = {"steps": 5, "guidance": 6.0, "negative_prompt": "a red box", "word_norm": 50.0, "word_turn": 1.0}
    plain = pixels(drawn())
    for name, value in asked.items():
        changed = drawn(f"--{name.replace('_', '-')}", value)
        assert not np.array_equal(pixels(changed), plain), name
        mark = read_mark(changed)
        found = {option: getattr(mark, option) for option in asked}
        assert {option: said for option, said in found.items() if said is not None} == {name: value}
    wide = drawn("--size", "24x16")
    assert Image.open(wide).size == (24, 16)
    assert read_mark(wide).size == "24x16"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--size", "16"), "as in 768x512"),
        (("--size", "64x64"), "draws 16x16 and, less well, sides from 8 to 32 pixels in steps of 2"),
        (("--size", "17x16"), "in steps of 2"),
        (("--steps", 0), "from 1 to 1,000"),
        (("--guidance", 0.5), "from 1 to 50"),
        (("--guidance", 1, "--negative-prompt", "a box"), "guidance 1 is none"),
        (("--word-norm", -1), "from 0 to 100"),
        (("--word-turn", 1.5), "from 0 to 1"),
        (("--negative-prompt", "no {}"), "leave {} out"),
        (("--negative-prompt", "a box " * 20), "the base takes 14"),
    ],
)
def test_options_that_the_base_cannot_draw_by_are_refused_before_it_is_loaded(
    options: tuple[object, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.bases.base.load_base", lambda *_, **__: pytest.fail("loaded"))
    done = generate("turtle", SNOW, "-o", tmp_path / "new", *options)
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "new").exists()
