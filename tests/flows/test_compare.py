"""Methods side by side, on a real Prefect API and MLflow database with tiny models."""

import dataclasses
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from prefect.settings import temporary_settings
from typer.testing import CliRunner

from flows.cli import app
from flows.compare import Comparison, run_compare
from flows.compare_summary import show_comparison
from model.errors import InputError
from model.methods import METHODS
from tasks.method_choice import Drawing, Wanted, chosen
from tasks.method_table import signed
from tasks.pictures import picture
from tasks.settings import Settings
from tasks.store import open_store
from tasks.tracking import connect
from tests.training_project import add_concept, make_training_project

BOTH = "textual_inversion+dreambooth:tiny"
METHODS_ASKED = ["attndreambooth", BOTH]
DRAWING = Drawing(images_per_prompt=2, num_inference_steps=2)


def wanted(concepts: list[str], methods: list[str], drawing: Drawing = DRAWING, seeds: tuple[int, ...] = ()) -> Wanted:
    return Wanted(concepts=concepts, methods=chosen(methods), drawing=drawing, seeds=seeds)


EVERYTHING = wanted(["turtle", "tortoise"], METHODS_ASKED, seeds=(0, 7))


@pytest.fixture(scope="module", autouse=True)
def _another_preset() -> Iterator[None]:
    """A preset that trains in seconds."""
    presets = METHODS[BOTH.split(":")[0]]
    stages = tuple(
        dataclasses.replace(stage, max_train_steps=2, batch_size=1, augmented_views=4, learning_rate=0.05)
        for stage in presets["toyworld"].stages
    )
    presets["tiny"] = dataclasses.replace(presets["toyworld"], stages=stages)
    yield
    del presets["tiny"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory, base_folder, evaluator_folder, prefect_url) -> Iterator[Settings]:
    """Two turtles, each the other's look-alike."""
    root = tmp_path_factory.mktemp("compare") / "project"
    make_training_project(root, base_folder, evaluator_folder)
    add_concept(root, "tortoise", 20)
    with temporary_settings({"results.local_storage_path": root / "results"}):
        yield Settings(root=root, prefect_api_url=prefect_url)


@pytest.fixture(scope="module")
def done(shared) -> Comparison:
    return run_compare(shared, EVERYTHING)


def test_every_concept_by_every_method_with_every_score(done):
    table = done.table
    assert (table.concepts, table.methods) == (("turtle", "tortoise"), tuple(METHODS_ASKED))
    assert table.scores == ("clip_i", "dino", "identity_rank", "clip_t", "retrieval", "identity_x_text")
    for score in table.scores:
        assert table.values("attndreambooth", score).shape == (2, 2, 2, 2)
    assert len({cell.weights for cell in table.cells}) == 8, "eight trainings"
    assert table.difference(BOTH, "clip_i").mean == pytest.approx(
        table.mean(BOTH, "clip_i").mean - table.mean("attndreambooth", "clip_i").mean
    )
    values = done.table.cells[0].values
    assert values["identity_x_text"][1][0] == max(0, values["dino"][1][0]) * max(0, values["clip_t"][1][0])


def test_every_figure_leads_to_its_pictures(shared, done):
    """The value of one picture, measured again from the file that the table's key leads to."""
    from model.evaluator import Evaluator

    store, cell = open_store(shared), done.table.cells[1]
    evaluation = store.get("evaluate", cell.evaluation)
    drawn = picture(store, evaluation, "generations/01/00.png")
    evaluator = Evaluator.load(str(shared.root / "evaluator"))
    (word,) = evaluator.embed_text([evaluation.parameters["prompts"][1].replace("{}", "turtle")])
    (seen,) = evaluator.embed_images([drawn])
    assert float(seen @ word) == pytest.approx(cell.values["clip_t"][1][0], abs=1e-6)


def test_what_it_leaves(shared, done):
    content = json.loads((done.folder / "comparison.json").read_text())
    assert content["methods"][0]["difference_to_first"] is None
    mean = np.mean([cell["values"]["dino"] for cell in content["cells"] if cell["method"] == BOTH])
    assert content["methods"][1]["scores"]["dino"]["mean"] == pytest.approx(mean)
    assert Image.open(done.folder / "plane.png").width > 500
    assert {path.name for path in done.folder.glob("*.png")} == {"plane.png", "turtle.png", "tortoise.png"}
    client = connect(shared)
    parent = client.get_run(done.run_id)
    name = "textual_inversion_and_dreambooth.tiny/clip_i"  # MLflow refuses a plus
    assert parent.data.metrics[name] == pytest.approx(done.table.mean(BOTH, "clip_i").mean)
    assert {file.path for file in client.list_artifacts(done.run_id)} >= {"comparison.json", "turtle.png"}
    children = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{done.run_id}'")
    assert {run.data.tags["conceptbooth.method"] for run in children} == set(METHODS_ASKED)
    assert len(children) == 8 and {run.data.tags["conceptbooth.seed"] for run in children} == {"0", "7"}
    assert client.search_registered_models() == [], "a comparison registers nothing"


def test_a_sheet_shows_the_same_noise_in_a_column(shared, done):
    """Row by row the first picture of each prompt, as it lies in the store."""
    from tasks.method_sheet import TILE

    store = open_store(shared)
    sheet = np.asarray(Image.open(done.folder / "turtle.png"))
    for cell in (each for each in done.table.cells if (each.concept, each.seed) == ("turtle", 0)):
        drawn = picture(store, store.get("evaluate", cell.evaluation), "generations/00/00.png")
        tile = np.asarray(drawn.resize((TILE, TILE), Image.Resampling.NEAREST))[8:-8, 8:-8]
        height, width = tile.shape[:2]
        rows = [y for y in range(sheet.shape[0] - height) if (sheet[y, 48 + 240 + 8, :] == tile[0, 0]).all()]
        assert any((sheet[y : y + height, 296 : 296 + width] == tile).all() for y in rows)


def test_again_nothing_is_trained_and_nothing_else_comes_out(shared, done):
    again = run_compare(shared, EVERYTHING, train=False)
    assert again.folder == done.folder
    assert again.table == done.table


def test_everything_that_is_wrong_is_said_at_once(shared, done, tmp_path):
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text("prompts: [{prompt: a photo}]")
    asked = ["attndreambooth", "attndreamboth", "attndreambooth:quick"]
    bad = wanted(["turtle", "tortle"], asked, Drawing(prompts=prompts, images_per_prompt=0), seeds=(3, 3, 2**32))
    with pytest.raises(InputError) as caught:
        run_compare(shared, bad)
    said = "\n".join(caught.value.problems)
    for part in (
        "method 'attndreamboth': unknown",
        "preset 'quick' of method 'attndreambooth': unknown; there are published",
        "compare: evaluation.images_per_prompt = 0: at least 1 is needed",
        f"compare: seed = {2**32}: ",
        "seed 3: asked for twice",
        'prompt "a photo": no {}',
        "concept 'tortle': there is none; did you mean 'turtle'?",
    ):
        assert part in said
    with pytest.raises(InputError, match="nowhere: there is no such folder"):
        run_compare(shared, wanted(["turtle"], ["attndreambooth"]), look_alikes=tmp_path / "nowhere")


def test_seeds_are_numbers(shared, monkeypatch):
    monkeypatch.chdir(shared.root)
    result = CliRunner().invoke(app, ["compare", "turtle", "--methods", "attndreambooth", "--seeds", "0,one"])
    assert result.exit_code == 2
    assert "'one' is no whole number" in result.stderr


def test_without_training_what_is_not_trained_is_named(shared, monkeypatch):
    monkeypatch.chdir(shared.root)
    add_concept(shared.root, "new-one", 40)
    command = ["compare", "turtle", "new-one", "--methods", "attndreambooth", "--no-train"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert (
        "concept 'new-one' is not trained by attndreambooth from seed 0 (train-1-embedding, train-2-cross_attention, "
        in said
    )
    assert "concept 'turtle'" not in said


def test_the_summary_cuts_no_figure(done, monkeypatch, capsys):
    """On a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    show_comparison(done, as_json=False)
    said = capsys.readouterr().out
    assert "…" not in said and max(len(line) for line in said.splitlines() if "[" in line) <= 80
    for method, score in itertools.product(METHODS_ASKED, done.table.scores):
        assert str(done.table.mean(method, score)) in said
    assert signed(done.table.difference(BOTH, "dino")) in said


def test_prefect_reads_how_loud_it_is_when_that_has_been_said():
    """Prefect looks at the environment once, when it is imported: later than the command says what to show."""
    code = "import sys, flows.compare, flows.compare_summary; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
