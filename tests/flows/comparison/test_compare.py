"""Methods side by side, on a real Prefect API and MLflow database with tiny models."""

import csv
import dataclasses
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import yaml
from PIL import Image
from prefect.settings import temporary_settings
from safetensors.torch import load_file
from typer.testing import CliRunner

from flows.cli.app import app
from flows.comparison.command import Output
from flows.comparison.compare import Comparison, Part, run_compare
from flows.comparison.report import BEGIN, CELLS, END, ReportProvenance, check_report, write_report
from flows.comparison.summary import show_comparison
from flows.comparison.tune import run_tune
from model.errors import InputError
from model.methods.presets import METHODS
from tasks.comparison.choice import Drawing, Wanted, chosen, comparison_jobs
from tasks.comparison.table import signed
from tasks.project.settings import Settings
from tasks.store.artefacts import EMBEDDINGS
from tasks.store.pictures import picture
from tasks.store.store import open_store
from tasks.tracking.client import connect
from tests.prefect_graph import newest_graph
from tests.training_project import PROMPTS, add_concept, make_training_project

BOTH = "textual_inversion+dreambooth:tiny"
SCENES = ["in the snow", "on the beach", "at sea"]
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
    prompts = [{"prompt": PROMPTS[0], "word": "snow", "tags": ["background"]}, {"prompt": PROMPTS[1]}]
    (root / "prompts.yaml").write_text(yaml.safe_dump({"prompts": prompts, "scenes": SCENES}))
    with temporary_settings({"results.local_storage_path": root / "results"}):
        yield Settings(root=root, prefect_api_url=prefect_url)


@pytest.fixture(scope="module")
def done(shared) -> Comparison:
    return run_compare(shared, EVERYTHING)


def test_prefect_sees_all_of_it_maps_and_look_alikes_too(done, prefect_url):
    """The same graph for each training: what a stage reads, maps among them; then the look-alikes of each concept."""
    stages = [[plan.stage for plan in job.stages] for job in done.results.jobs.values()]
    graph = newest_graph(prefect_url, "compare", sum(map(len, stages)) + 4)
    plans = [plan for job in done.results.jobs.values() for plan in job.stages]
    of_base = [node for node in graph if node.name == "base_pictures"]
    assert len(of_base) == 2 and all("evaluate" in node.inputs for node in of_base), "once a concept"
    trained = [node for node in graph if node not in of_base]
    assert [node.name for node in trained] == [*itertools.chain(*stages), "look_alikes", "look_alikes"]
    for node, plan in zip(trained, plans, strict=False):
        assert node.inputs == tuple(sorted(stage for stage in plan.reads if stage != "image_set")), plan.stage
    assert {len(node.inputs) for node in graph if node.name == "maps"} == {2, 3}
    assert {name: embedded.shape[0] for name, embedded in done.results.look_alikes.items()} == {
        "turtle": 5,
        "tortoise": 5,
    }


def test_every_concept_by_every_method_with_every_score(done):
    table = done.table
    assert (table.concepts, table.methods) == (("turtle", "tortoise"), tuple(METHODS_ASKED))
    likeness = ("clip_i", "dino", "identity_rank")
    assert table.scores == (*likeness, "clip_t", "retrieval", "leakage", "identity", "text", "identity_x_text")
    for score in table.scores:
        assert table.values("attndreambooth", score).shape == (2, 2, 2, 2)
    assert len({cell.weights for cell in table.cells}) == 8, "eight trainings"
    assert table.difference(BOTH, "clip_i").mean == pytest.approx(
        table.mean(BOTH, "clip_i").mean - table.mean("attndreambooth", "clip_i").mean
    )
    assert set(table.base) == {"clip_i", "dino", "clip_t", "retrieval", "leakage"} and table.base["clip_i"] < 1
    values = done.table.cells[0].values
    held = [min(1.0, max(0.0, values[score][1][0])) for score in ("identity", "text")]
    kept = 1 - values["leakage"][1][0]
    assert values["identity_x_text"][1][0] == pytest.approx(held[0] * held[1] * kept, abs=1e-6)


def test_leakage_is_counted_on_the_stored_pictures(shared, done):
    """Measured again by the evaluator: the nearest scene, of the images and of each picture."""
    from model.scores.evaluator import Evaluator

    evaluator = Evaluator.load(str(shared.root / "evaluator"))
    scenes = evaluator.embed_text([f"a photo of a turtle {scene}" for scene in SCENES])
    store = open_store(shared)
    counted = []
    for cell in done.table.cells:
        tensors = load_file(store.file(store.get("evaluate", cell.evaluation), EMBEDDINGS))
        own = set((tensors["clip_instance"] @ scenes.T).argmax(dim=1).tolist())
        for prompt, asked in enumerate(("in the snow", "on the beach")):
            shown = (tensors["clip_generated"][prompt] @ scenes.T).argmax(dim=1).tolist()
            leaks = [float(one in own and SCENES[one] != asked) for one in shown]
            assert cell.values["leakage"][prompt] == leaks
            counted += leaks
    assert done.table.mean("attndreambooth", "leakage").mean == np.mean(
        [cell.values["leakage"] for cell in done.table.cells if cell.method == "attndreambooth"]
    )


def test_every_figure_leads_to_its_pictures(shared, done):
    """The value of one picture, measured again from the file that the table's key leads to."""
    from model.scores.evaluator import Evaluator

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
    sheets = {f"{name}{what}.png" for name in ("turtle", "tortoise") for what in ("", "-attention", "-stages")}
    assert {path.name for path in done.folder.glob("*.png")} == {"plane.png", *sheets}
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
    from tasks.comparison.method_sheet import TILE

    store = open_store(shared)
    sheet = np.asarray(Image.open(done.folder / "turtle.png"))
    for cell in (each for each in done.table.cells if (each.concept, each.seed) == ("turtle", 0)):
        drawn = picture(store, store.get("evaluate", cell.evaluation), "generations/00/00.png")
        tile = np.asarray(drawn.resize((TILE, TILE), Image.Resampling.LANCZOS))[8:-8, 8:-8]
        height, width = tile.shape[:2]
        rows = [y for y in range(sheet.shape[0] - height) if (sheet[y, 48 + 240 + 8, :] == tile[0, 0]).all()]
        assert any((sheet[y : y + height, 296 : 296 + width] == tile).all() for y in rows)


def test_maps_are_of_every_stage_and_of_the_prompts_that_have_a_word(shared, done):
    """Their pictures are those that were scored, but for rounding."""
    store = open_store(shared)
    maps = [store.get(stage, key) for stage, key in store.artefacts() if stage == "maps"]
    assert len(maps) == 4, "of the first seed"
    maps = [manifest for manifest in maps if manifest.labels["concept"] == "turtle"]
    assert {manifest.labels["method"] for manifest in maps} == {"attndreambooth", BOTH.split(":")[0]}
    (own,) = [manifest for manifest in maps if manifest.labels["method"] == "attndreambooth"]
    stages = ("embedding", "cross_attention", "unet")
    names = ("picture", "attention_placeholder", "attention_super_category", "attention_word")
    assert set(own.files) == {f"stages/{stage}/00/{name}.png" for stage in stages for name in names}
    assert own.parameters["prompts"] == [[PROMPTS[0], "snow"]]
    (cell,) = [c for c in done.table.cells if (c.concept, c.method, c.seed) == ("turtle", "attndreambooth", 0)]
    scored = picture(store, store.get("evaluate", cell.evaluation), "generations/00/00.png")
    shown = picture(store, own, "stages/unet/00/picture.png")
    assert np.abs(np.asarray(scored).astype(int) - np.asarray(shown)).max() <= 1
    sheet = np.asarray(Image.open(done.folder / "turtle-stages.png"))
    tile = np.asarray(shown.resize((128, 128), Image.Resampling.LANCZOS))[8:-8, 8:-8]
    assert any(
        (sheet[y : y + len(tile), x : x + len(tile)] == tile).all()
        for y, x in np.argwhere((sheet == tile[0, 0]).all(axis=-1))
        if y + len(tile) <= len(sheet) and x + len(tile) <= sheet.shape[1]
    )


def test_again_nothing_is_trained_and_nothing_else_comes_out(shared, done):
    again = run_compare(shared, EVERYTHING, train=False)
    assert (again.folder, again.run_id) == (done.folder, done.run_id), "MLflow has it already"
    assert again.table == done.table


def test_everything_that_is_wrong_is_said_at_once(shared, done, tmp_path):
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text("prompts: [{prompt: a photo}]")
    asked = ["attndreambooth", "attndreamboth", "attndreambooth:quick"]
    bad = wanted(["turtle", "tortle"], asked, Drawing(prompts=prompts, images_per_prompt=0), seeds=(3, 3, 2**32))
    with pytest.raises(InputError) as caught:
        run_compare(shared, bad, look_alikes=tmp_path / "nowhere")
    said = "\n".join(caught.value.problems)
    for part in (
        "method 'attndreamboth': unknown",
        "preset 'quick' of method 'attndreambooth': unknown; there are published",
        "compare: evaluation.images_per_prompt = 0: at least 1 is needed",
        f"compare: seed = {2**32}: ",
        "seed 3: asked for twice",
        'prompt "a photo": no {}',
        "concept 'tortle': there is none; did you mean 'turtle'?",
        "nowhere: there is no such folder",
    ):
        assert part in said


def test_a_part_trains_its_own_concepts_and_no_others(shared, done):
    two = wanted(["turtle", "tortoise"], ["attndreambooth"], Drawing(images_per_prompt=1, num_inference_steps=2))
    assert run_compare(shared, two, part=Part(number=2, parts=2)) is None
    assert run_compare(shared, wanted(["tortoise"], ["attndreambooth"], two.drawing), train=False)
    store, evaluations = open_store(shared), []
    for place, job in comparison_jobs(shared, two).items():
        (plan,) = [plan for plan in job.stages if plan.kind == "evaluate"]
        evaluations.append((place.concept, store.find(plan.stage, plan.key) is not None))
    assert evaluations == [("turtle", False), ("tortoise", True)]


def test_the_report_leads_to_pictures_and_keys_and_keeps_other_words(done, tmp_path):
    page = tmp_path / "results.md"
    page.write_text(f"# Ours\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    check_report(page)
    before = {"commit": "c0ffee" * 7, "dirty": False}  # what the page itself changes is no change to what made it
    provenance = ReportProvenance(command="conceptbooth compare turtle", seconds=61.0, git=before)
    write_report(page, done, provenance)
    text = page.read_text()
    assert text.startswith("# Ours\n\nbefore\n") and text.endswith("\nafter\n") and "old" not in text
    assert "conceptbooth compare turtle" in text and "- of it this command: 1 min 01 s" in text
    assert "- commit: `c0ffeec0ffee`\n" in text
    assert "embedding 2 x 1 at 0.01, cross_attention 2 x 1 at 0.0001, unet 2 x 1 at 0.0002 |" in text
    assert done.table.to_markdown().rstrip() in text
    of_the_first_prompt = np.mean(done.table.values(BOTH, "identity_x_text")[:, :, 0])
    aspect = re.search(r"^\| background \(1\) \| .* \| (0\.\d\d) \[", text, re.MULTILINE)
    assert aspect and float(aspect[1]) == pytest.approx(of_the_first_prompt, abs=0.005)
    shown = re.findall(r"!\[[^]]+\]\((results/[^)]+)\)", text)
    assert len(shown) == len(set(shown)) == 7 and all(Image.open(tmp_path / name).width > 500 for name in shown)
    rows = list(csv.DictReader((tmp_path / "results" / CELLS).open()))
    assert {row["evaluation"] for row in rows} == {cell.evaluation for cell in done.table.cells}
    mean = np.mean([float(row["dino"]) for row in rows if row["method"] == BOTH])
    assert mean == pytest.approx(done.table.mean(BOTH, "dino").mean, abs=1e-4)
    write_report(page, done, provenance)
    assert page.read_text() == text, "written again it is the same"


def test_a_report_that_cannot_be_written_is_said_before_any_work(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(shared.root)
    page = tmp_path / "mine.md"
    page.write_text("my own words")
    command = ["compare", "tortle", "--methods", "attndreambooth", "--report", str(page)]
    result = CliRunner().invoke(app, command)
    said = " ".join(result.stderr.split())
    assert result.exit_code == 2 and "would be lost" in said and "did you mean 'turtle'" in said
    for file, way_out in (("no/where.md", "there is no folder"), ("page.html", "ends in .md")):
        result = CliRunner().invoke(app, [*command[:-1], file])
        assert result.exit_code == 2 and way_out in " ".join(result.stderr.split())
    for part in ("0/2", "3/2", "two", "1/0"):
        assert CliRunner().invoke(app, [*command[:-2], "--part", part]).exit_code == 2
    assert page.read_text() == "my own words"


GRID = """
concepts: [turtle]
seeds: [0]
images_per_prompt: 1
methods:
  textual_inversion:
    preset: toyworld
    tries:
      - embedding: {max_train_steps: 1, batch_size: 1, augmented_views: 4}
      - embedding: {max_train_steps: 2, batch_size: 1, augmented_views: 4, learning_rate: 0.5}
  textual_inversion+dreambooth:
    preset: tiny
    tries: [{}, {unet: {learning_rate: 0.001}}]
"""


def test_tuning_says_what_was_best_of_each_method_and_writes_it_down(shared, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.argv", ["conceptbooth", "tune", "grid.yaml"])
    (tmp_path / "grid.yaml").write_text(GRID)
    output = Output(part=None, report=tmp_path / "tuning.md", as_json=True, verbose=False)
    run_tune(shared, tmp_path / "grid.yaml", output)
    said = json.loads(capsys.readouterr().out)
    assert [each["label"] for each in said["tries"]] == [
        f"{method}.{number}" for method in ("textual_inversion", BOTH.split(":")[0]) for number in (1, 2)
    ]
    assert [each["samples"] for each in said["tries"]] == [1, 2, 4, 4]
    for method in ("textual_inversion", BOTH.split(":")[0]):
        tries = [each for each in said["tries"] if each["method"] == method]
        (best,) = [each for each in tries if each["best"]]
        assert best["scores"]["identity_x_text"] == max(each["scores"]["identity_x_text"] for each in tries)
        assert tries[0]["scores"] != tries[1]["scores"]
        pasted = yaml.safe_load(best["params"])
        assert (pasted["method"], pasted["stages"]) == (method, best["changes"])
    page = (tmp_path / "tuning.md").read_text()
    assert "conceptbooth tune grid.yaml" in page and "| unet.learning_rate 0.001 | 4 |" in page
    assert page.count("| **") == 2


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


def test_the_summary_cuts_no_figure(shared, done, monkeypatch, capsys):
    """On a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    show_comparison(shared, done, as_json=False)
    said = capsys.readouterr().out
    assert "…" not in said and max(len(line) for line in said.splitlines() if "[" in line) <= 80
    for method, score in itertools.product(METHODS_ASKED, done.table.scores):
        assert str(done.table.mean(method, score)) in said
    assert signed(done.table.difference(BOTH, "dino")) in said
    assert "turtle.png and 1 more" in said and "turtle-stages.png and 1 more" in said


def test_the_summary_ends_in_a_verdict_on_each_method(shared, done, tmp_path, capsys):
    policy = shared.root / "mlflow/promotion.yaml"
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow/promotion.yaml").write_text(policy.read_text().replace("clip_i: -1", "clip_i: 1"))
    show_comparison(Settings(root=tmp_path), done, as_json=False)
    *_, one, other = capsys.readouterr().out.splitlines()
    mean = done.table.mean(BOTH, "clip_i").mean
    assert one.startswith("Verdict   attndreambooth: would not be released: CLIP-I ")
    assert other == f"Verdict   {BOTH}: would not be released: CLIP-I {mean:.2f}, at least 1"
    show_comparison(shared, done, as_json=True)
    assert set(json.loads(capsys.readouterr().out)["verdicts"]) == set(METHODS_ASKED)


def test_prefect_reads_how_loud_it_is_when_that_has_been_said():
    """Prefect looks at the environment once, when it is imported: later than the command says what to show."""
    code = "import sys, flows.comparison.compare, flows.comparison.summary; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
