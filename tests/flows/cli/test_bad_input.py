"""Bad input, a full disk and dead servers through the command line: one message with the way out, nothing half done."""

import json
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli.app import app
from flows.server.server_process import free_port
from tasks.execution.kept_models import keep_models
from tasks.jobs.jobs import plan_jobs
from tasks.project.settings import Settings
from tasks.store.store import open_store
from tests.data_project import git, photo, photos, tree
from tests.model.tiny import write_tiny_xl_base
from tests.training_project import write_concept, write_params

STAGE_FILES = ("concept.safetensors", "scores.json")


@pytest.fixture(autouse=True)
def _inside(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    git(project.root, "init", "--quiet")


def command(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "300"})
    assert "Traceback" not in done.output
    return done


def refused(project: Settings, *arguments: str | Path) -> list[str]:
    """The problems of a command that must be refused as bad input and leave everything as it was."""
    before = everything(project)
    done = command(*arguments, "--json")
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert everything(project) == before, "nothing was written"
    report = json.loads(done.stderr)
    assert report["error"] == "input"
    return report["problems"]


def everything(project: Settings) -> dict[str, bytes]:
    """All files of the project, those in `.conceptbooth` among them, but for the remembered digests."""
    hidden = {f".conceptbooth/{path.relative_to(project.home)}": path for path in project.home.rglob("*")}
    kept = {
        name: path.read_bytes() for name, path in hidden.items() if path.is_file() and not path.match("*digests.json")
    }
    return tree(project.root) | kept


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train", "Missing argument 'NAME'."),
        ("plan --jsn", "No such option: --jsn"),
        ("nightly --now --dry-run", "say either --now or --dry-run"),
    ],
)
def test_wrong_usage_is_told_in_json_where_json_is_asked_for(line: str, said: str) -> None:
    done = command(*line.split(), "--json")
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    report = json.loads(done.stderr)
    assert report["error"] == "usage" and said in report["problems"][0]
    assert "Usage:" in command(*line.split()).output  # for people, as ever


# --- train ---


def without_unet(project: Settings) -> None:
    shutil.rmtree(project.root / "base/unet")


def with_joint_attention(project: Settings) -> None:
    """Flux, as its folder looks: a transformer and no UNet."""
    shutil.move(project.root / "base/unet", project.root / "base/transformer")
    change_index(project, _class_name="FluxPipeline", transformer=["diffusers", "FluxTransformer2DModel"])


def refiner(project: Settings) -> None:
    shutil.rmtree(project.root / "base")
    write_tiny_xl_base(project.root / "base")
    shutil.rmtree(project.root / "base/text_encoder")
    change_index(project, text_encoder=[None, None], tokenizer=[None, None], requires_aesthetics_score=True)


def change_index(project: Settings, **values: object) -> None:
    path = project.root / "base/model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def without_base(project: Settings) -> None:
    for entry in (project.root / "base").iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def without_prompts(project: Settings) -> None:
    (project.root / "prompts.yaml").unlink()


def other_method(project: Settings) -> None:
    write_params(project.root, method="dreamboth")


def absurd_numbers(project: Settings) -> None:
    write_params(project.root, unet={"learning_rate": -1.0}, embedding={"max_train_steps": 0}, sampling={"seed": 3})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            without_base,
            ["base': no diffusers pipeline folder (it has no model_index.json); name one of Stable Diffusion"],
        ),
        (without_prompts, ["prompts.yaml: there is no such file; name one as evaluation.prompts in params.yaml"]),
        (without_unet, ["no unet/config.json; a diffusers pipeline folder is needed"]),
        (
            with_joint_attention,
            ["a FluxPipeline, whose transformer (FluxTransformer2DModel) reads text and"],
        ),
        (refiner, ["the refiner of Stable Diffusion XL; it finishes what the XL base has begun"]),
        (other_method, ["method 'dreamboth': unknown; there are attndreambooth"]),
        (absurd_numbers, ["unet.learning_rate = -1.0", "embedding.max_train_steps = 0", "sampling.seed is unknown"]),
    ],
)
def test_what_a_training_cannot_be_made_from(
    project: Settings, spoil: Callable[[Settings], None], said: list[str]
) -> None:
    spoil(project)
    problems = refused(project, "train", "turtle", "nobody")
    for words in (*said, "concept 'nobody': there is none; there are: turtle"):
        assert words in "\n".join(problems)
    assert len(problems) == len(said) + 1


@pytest.mark.parametrize("kind", ["one tokenizer", "two tokenizers"])
def test_a_category_that_the_base_cannot_tell_from_the_concept(project: Settings, kind: str) -> None:
    """DreamBooth's word is a token that stays as it is: in the category it would be [V]."""
    if kind == "two tokenizers":
        shutil.rmtree(project.root / "base")
        write_tiny_xl_base(project.root / "base")
    write_params(project.root, method="dreambooth")
    write_concept(project.concepts_dir / "turtle", super_category="q")
    done = command("train", "turtle", "--json")
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    (problem,) = json.loads(done.stderr)["problems"]  # the tokenizers said so, not one after the other
    assert not list(project.home.rglob("manifest.json")), "nothing was made"
    assert "rare token 'q': part of super-category 'q', so the base could not tell [V] from it" in problem


def test_a_store_that_cannot_be_written(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCEPTBOOTH_STORE", "params.yaml/store")
    (problem,) = refused(project, "train", "turtle")
    assert "params.yaml/store" in problem
    assert "CONCEPTBOOTH_STORE" in problem


def test_a_prefect_server_that_is_down(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", url := f"http://127.0.0.1:{free_port(0)}/api")
    done = command("train", "turtle")
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"Prefect at {url} does not answer" in done.stderr
    assert "unset PREFECT_API_URL to work without a server" in done.stderr
    assert stage_files(project) == []


def test_a_full_disk(project: Settings, prefect_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files above a limit cannot be written, as on a disk that is full; the weights of the last stage are larger."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_url)
    write_params(project.root, model_form="exact")
    (job,) = plan_jobs(project, ["turtle"])
    keep_models(open_store(project), job, job.recipe.models)  # the base is larger still, and was kept before
    with no_file_above(100_000):
        done = command("train", "turtle")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "turtle failed: train-3-unet: " in done.stderr
    assert "make room there and run the same command again" in done.stderr
    finished = ["train-1-embedding", "train-2-cross_attention"]
    assert stage_files(project) == finished, "what was finished before is kept, and nothing half written"
    assert not list((project.home / "work").rglob("*.safetensors"))

    done = command("train", "turtle", "--json")
    left = ("train-3-unet", "evaluate", "gallery", "register")
    assert states(done) == dict.fromkeys(("prepare", *finished), "cached") | dict.fromkeys(left, "made")


def test_mlflow_being_down(project: Settings, prefect_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_url)
    monkeypatch.setenv("CONCEPTBOOTH_MLFLOW_TRACKING_URI", url := f"http://127.0.0.1:{free_port(0)}")
    done = command("train", "turtle")
    assert (done.exit_code, done.stdout) == (1, "")
    away = f"MLflow at {url} does not answer: Connection refused; "
    # Prefect's own log may complain of its server in the midst of a line
    assert re.findall(r"warning: MLflow at \S+ does not answer: [^;]+; trying again in .*?\)", done.stderr) == [
        f"warning: {away}trying again in {seconds} s ({number} of 4)" for number, seconds in ((2, 2), (3, 4), (4, 8))
    ]
    assert f"turtle failed: {away}the training of 'turtle' is kept" in done.stderr
    assert "the training of 'turtle' is kept in the store; run `conceptbooth train turtle` again" in done.stderr

    monkeypatch.delenv("CONCEPTBOOTH_MLFLOW_TRACKING_URI")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", project.mlflow_tracking_uri)
    assert [task for task, state in states(command("train", "turtle", "--json")).items() if state == "made"] == [
        "register"
    ]


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def stage_files(project: Settings) -> list[str]:
    """The stages that left weights or scores in the store."""
    found = (json.loads(path.read_bytes()) for path in project.store.glob("stages/**/manifest.json"))
    return sorted(manifest["stage"] for manifest in found if set(STAGE_FILES) & set(manifest["files"]))


def states(done: Result) -> dict[str, str]:
    assert done.exit_code == 0, done.output
    (outcome,) = json.loads(done.stdout)
    return {task["name"]: task["state"] for task in outcome["tasks"]}


# --- generate ---


def test_a_concept_that_was_never_trained(project: Settings) -> None:
    Path(project.mlflow_tracking_uri.removeprefix("sqlite:///")).unlink()
    (problem,) = refused(project, "generate", "nobody", "a {}", "-o", "pictures")
    assert problem == "concept 'nobody': there is none; there are: turtle"
    (problem,) = refused(project, "generate", "turtle", "a {}", "-o", "pictures")
    assert problem == "concept 'turtle' has no registered version: `conceptbooth train turtle` makes one"


# --- add ---


def test_a_near_duplicate(project: Settings, tmp_path: Path) -> None:
    paths = photos(tmp_path / "in", 3)
    photo(0).resize((300, 262), Image.Resampling.BICUBIC).save(tmp_path / "in/again.jpg", quality=70)
    (problem,) = refused(project, "add", "pot", *paths, tmp_path / "in/again.jpg", "--category", "teapot")
    assert "photo-0.png and " in problem
    assert "again.jpg hold nearly the same picture" in problem
    assert problem.endswith("keep one of them")


def test_a_name_that_exists(project: Settings, tmp_path: Path) -> None:
    (problem,) = refused(project, "add", "turtle", *photos(tmp_path / "in", 3), "--category", "teapot")
    assert problem == (
        "concept 'turtle' exists already (data/concepts/turtle): choose another name, or remove that folder"
    )
