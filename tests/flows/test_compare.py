"""Methods side by side, on a real Prefect API and MLflow database with tiny models."""

import dataclasses
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
from model.errors import InputError
from model.methods import METHODS
from tasks.method_choice import Drawing
from tasks.pictures import picture
from tasks.settings import Settings
from tasks.store import open_store
from tasks.tracking import connect
from tests.training_project import add_concept, make_training_project

METHODS_ASKED = ["attndreambooth", "attndreambooth:tiny"]
DRAWING = Drawing(images_per_prompt=2, num_inference_steps=2)


@pytest.fixture(scope="module", autouse=True)
def _another_preset() -> Iterator[None]:
    """A preset that trains in seconds, like the one that params.yaml has changed, at another rate."""
    preset = METHODS["attndreambooth"]["toyworld"]
    stages = tuple(
        dataclasses.replace(stage, max_train_steps=2, batch_size=1, augmented_views=4, learning_rate=0.05)
        for stage in preset.stages
    )
    METHODS["attndreambooth"]["tiny"] = dataclasses.replace(preset, stages=stages)
    yield
    del METHODS["attndreambooth"]["tiny"]


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
    return run_compare(shared, ["turtle", "tortoise"], METHODS_ASKED, DRAWING)


def test_every_concept_by_every_method_with_every_score(done):
    table = done.table
    assert (table.concepts, table.methods) == (("turtle", "tortoise"), tuple(METHODS_ASKED))
    assert table.scores == ("clip_i", "dino", "identity_rank", "clip_t", "retrieval")
    for score in table.scores:
        assert table.values("attndreambooth", score).shape == (2, 2, 2)
    assert len({cell.weights for cell in table.cells}) == 4, "four trainings"
    assert table.difference("attndreambooth:tiny", "clip_i").mean == pytest.approx(
        table.mean("attndreambooth:tiny", "clip_i").mean - table.mean("attndreambooth", "clip_i").mean
    )


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
    mean = np.mean([cell["values"]["dino"] for cell in content["cells"] if cell["method"] == "attndreambooth:tiny"])
    assert content["methods"][1]["scores"]["dino"]["mean"] == pytest.approx(mean)
    assert Image.open(done.folder / "plane.png").width > 500
    assert {path.name for path in done.folder.glob("*.png")} == {"plane.png", "turtle.png", "tortoise.png"}
    client = connect(shared)
    parent = client.get_run(done.run_id)
    assert parent.data.metrics["attndreambooth.tiny/clip_i"] == pytest.approx(
        done.table.mean("attndreambooth:tiny", "clip_i").mean
    )
    assert {file.path for file in client.list_artifacts(done.run_id)} >= {"comparison.json", "turtle.png"}
    children = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{done.run_id}'")
    assert {run.data.tags["conceptbooth.method"] for run in children} == set(METHODS_ASKED)
    assert len(children) == 4
    assert client.search_registered_models() == [], "a comparison registers nothing"


def test_a_sheet_shows_the_same_noise_in_a_column(shared, done):
    """Row by row the first picture of each prompt, as it lies in the store."""
    from tasks.method_sheet import TILE

    store = open_store(shared)
    sheet = np.asarray(Image.open(done.folder / "turtle.png"))
    for cell in (each for each in done.table.cells if each.concept == "turtle"):
        drawn = picture(store, store.get("evaluate", cell.evaluation), "generations/00/00.png")
        tile = np.asarray(drawn.resize((TILE, TILE), Image.Resampling.NEAREST))[8:-8, 8:-8]
        height, width = tile.shape[:2]
        rows = [y for y in range(sheet.shape[0] - height) if (sheet[y, 48 + 240 + 8, :] == tile[0, 0]).all()]
        assert any((sheet[y : y + height, 296 : 296 + width] == tile).all() for y in rows)


def test_again_nothing_is_trained_and_nothing_else_comes_out(shared, done):
    again = run_compare(shared, ["turtle", "tortoise"], METHODS_ASKED, DRAWING, train=False)
    assert again.folder == done.folder
    assert again.table == done.table


def test_everything_that_is_wrong_is_said_at_once(shared, done, tmp_path):
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text("prompts: [{prompt: a photo}]")
    asked = ["attndreambooth", "attndreamboth", "attndreambooth:quick"]
    with pytest.raises(InputError) as caught:
        run_compare(shared, ["turtle", "tortle"], asked, Drawing(prompts=prompts, images_per_prompt=0))
    said = "\n".join(caught.value.problems)
    for part in (
        "method 'attndreamboth': unknown",
        "preset 'quick' of method 'attndreambooth': unknown; there are published",
        "compare: evaluation.images_per_prompt = 0: at least 1 is needed",
    ):
        assert part in said
    with pytest.raises(InputError) as caught:
        run_compare(shared, ["turtle", "tortle"], ["attndreambooth"], Drawing(prompts=prompts))
    said = "\n".join(caught.value.problems)
    assert 'prompt "a photo": no {}' in said and "concept 'tortle': there is none; did you mean 'turtle'?" in said
    with pytest.raises(InputError, match="nowhere: there is no such folder"):
        run_compare(shared, ["turtle"], ["attndreambooth"], DRAWING, look_alikes=tmp_path / "nowhere")


def test_without_training_what_is_not_trained_is_named(shared, monkeypatch):
    monkeypatch.chdir(shared.root)
    add_concept(shared.root, "new-one", 40)
    command = ["compare", "turtle", "new-one", "--methods", "attndreambooth", "--no-train"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert "concept 'new-one' is not trained by attndreambooth (train-1-embedding, train-2-cross_attention, " in said
    assert "concept 'turtle'" not in said


def test_prefect_reads_how_loud_it_is_when_that_has_been_said():
    """Prefect looks at the environment once, when it is imported: later than the command says what to show."""
    code = "import sys, flows.compare, flows.compare_summary; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
