"""What each stage leaves, made without Prefect by tiny models."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.bases.base import load_base
from model.drawing.sampling_options import Sampling
from model.errors import InputError
from model.weights.concept import ConceptWeights
from tasks.dvc.folder_hash import FolderFile, folder_digest
from tasks.execution.preflight import check_job
from tasks.execution.reporting import Silence
from tasks.files.hashing import digest_of, file_digest
from tasks.jobs.jobs import plan_jobs
from tasks.store.pictures import picture, pictures
from tasks.store.store import Damaged
from tests.data_project import photo
from tests.made_stages import MadeStages
from tests.training_project import PROMPTS, make_training_project, write_concept, write_params


class Listener(Silence):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int, str]] = []
        self.done: list[int] = []
        self.ended = 0
        self.warnings: list[str] = []

    def begin(self, title: str, total: int, unit: str) -> None:
        self.begun.append((title, total, unit))

    def advance(self, done: int, note: str = "") -> None:
        self.done.append(done)

    def end(self) -> None:
        self.ended += 1

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def nothing_made(settings) -> MadeStages:
    """The stages of the project's one concept."""
    (job,) = plan_jobs(settings, ["turtle"])
    made = MadeStages(job, Listener())
    made.store.probe()
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory, base_folder, evaluator_folder) -> MadeStages:
    """All stages, made once."""
    root = tmp_path_factory.mktemp("trained") / "project"
    made = nothing_made(make_training_project(root, base_folder, evaluator_folder))
    assert all(receipt["made"] for receipt in made.run())
    return made


def read(made: MadeStages, stage: str, name: str):
    return json.loads(made.store.file(made.manifests[stage], name).read_text())


def test_prepare_leaves_upright_rgb_and_says_which_file_each_came_from(trained):
    manifest, concept = trained.manifests["prepare"], trained.job.concept
    origins = read(trained, "prepare", "images.json")
    assert [origin["file"] for origin in origins] == [f"images/{number:02}.png" for number in range(5)]
    assert [origin["sha256"] for origin in origins] == [file_digest(path) for path in sorted(concept.images.iterdir())]
    prepared = pictures(trained.store, manifest, "images")
    originals = [Image.open(path) for path in sorted(concept.images.iterdir())]
    assert all(np.array_equal(a, b) for a, b in zip(prepared, originals, strict=True))


def test_a_training_stage_leaves_weights_and_curves(trained):
    for plan in trained.job.trainings:
        weights = ConceptWeights.load(trained.store.file(trained.manifests[plan.stage], "concept.safetensors"))
        assert weights.prompt == trained.job.recipe.prompt
        assert bool(weights.touched) == (plan.parameters["stage"]["trains"] != "embedding")
        curve = read(trained, plan.stage, "curves.json")
        assert [point["step"] for point in curve] == [1, 2]
        assert {"loss", "attention_loss", "learning_rate", "grad_norm"} <= curve[0].keys()
        assert len(trained.manifests[plan.stage].metrics["samples_per_second"]) == len(curve)
        assert trained.manifests[plan.stage].metrics["loss"] == curve[-1]["loss"]


def test_each_stage_goes_on_from_the_weights_of_the_one_before(trained):
    base = load_base(trained.job.recipe.base.location)
    one, two, three = (
        ConceptWeights.load(trained.store.file(trained.manifests[plan.stage], "concept.safetensors")).whole(base)
        for plan in trained.job.trainings
    )
    assert one.embeddings[0].equal(two.embeddings[0]) and two.embeddings[0].equal(three.embeddings[0])
    kept = [name for name in two.unet if ".attn2." in name]
    assert kept and all((two.unet[name] - three.unet[name]).abs().max() < 0.01 for name in kept)


def test_evaluation_leaves_pictures_of_every_prompt_by_concept_and_base_and_their_scores(trained):
    manifest = trained.manifests["evaluate"]
    for prompt in range(len(PROMPTS)):
        assert len(pictures(trained.store, manifest, f"generations/{prompt:02}")) == 2
        assert len(pictures(trained.store, manifest, f"base/{prompt:02}")) == 1
    for stage in ("embedding", "cross_attention", "unet"):
        for name in ("preview", "attention_placeholder", "attention_super_category"):
            assert picture(trained.store, manifest, f"stages/{stage}/{name}.png").size == (16, 16)
    scores = read(trained, "evaluate", "scores.json")
    assert [entry["prompt"] for entry in scores["prompts"]] == [p.replace("{}", "turtle") for p in PROMPTS]
    for name in ("clip_i", "clip_t", "dino", "base_clip_i", "base_clip_t", "base_dino"):
        assert -1 <= scores[name]["low"] <= scores[name]["mean"] <= scores[name]["high"] <= 1
        assert manifest.metrics[name] == scores[name]["mean"]
    assert (scores["images_per_prompt"], scores["base_images_per_prompt"]) == (2, 1)
    assert scores["retrieval"]["mean"] in (0, 0.25, 0.5, 0.75, 1)


def test_the_evaluation_keeps_the_embeddings_that_its_scores_come_from(trained):
    from safetensors.torch import load_file

    from model.scores.metrics import Embeddings, scores_of

    tensors = load_file(trained.store.file(trained.manifests["evaluate"], "embeddings.safetensors"))
    assert {name: tuple(tensor.shape[:-1]) for name, tensor in tensors.items()} == {
        "clip_generated": (2, 2),
        "clip_instance": (5,),
        "clip_text": (2,),
        "identity_generated": (2, 2),
        "identity_instance": (5,),
    }
    scores = read(trained, "evaluate", "scores.json")
    again = scores_of(Embeddings(**tensors), [entry["prompt"] for entry in scores["prompts"]]).to_dict()
    for prompt, ours in zip(scores["prompts"], again["prompts"], strict=True):
        for name in ("clip_i", "clip_t", "retrieval", "dino"):
            assert ours["pictures"][name] == pytest.approx(prompt["pictures"][name], abs=1e-6)


def test_the_untrained_base_draws_from_the_same_noise_without_the_placeholder(trained):
    from model.drawing.sample import generate
    from tasks.execution.loaded_base import open_base

    plain = [prompt.replace("{}", "turtle") for prompt in PROMPTS]
    base = open_base(trained.job.recipe.base, trained.job.settings.device)
    expected = generate(base, None, plain, 1, Sampling(guidance_scale=3.0, num_inference_steps=2))
    kept = [pictures(trained.store, trained.manifests["evaluate"], f"base/{number:02}")[0] for number in (0, 1)]
    for ours, theirs in zip(kept, expected, strict=True):
        assert np.abs(np.asarray(ours, int) - np.asarray(theirs[0], int)).max() <= 1


def test_the_gallery_is_a_sheet_and_a_page_that_name_the_base(trained):
    manifest = trained.manifests["gallery"]
    assert sorted(manifest.files) == ["gallery.png", "index.html"]
    page = trained.store.file(manifest, "index.html").read_text()
    assert "turtle" in page and "base" in page and trained.job.images.digest in page


def test_manifests_hold_the_whole_lineage(trained):
    manifests = trained.manifests
    for plan in trained.job.stages:
        manifest = manifests[plan.stage]
        assert (manifest.key, dict(manifest.code), manifest.seed) == (plan.key, dict(plan.code), plan.seed)
        for read_from in manifest.inputs:
            if read_from.kind in manifests:
                source = manifests[read_from.kind]
                assert (read_from.key, read_from.digest) == (source.key, source.digest())
        assert manifest.packages and manifest.device and manifest.wall_seconds > 0
        assert manifest.labels["method"] == "attndreambooth" and manifest.labels["image_set_state"] == "untracked"
    (image_set,) = manifests["prepare"].inputs
    assert (image_set.kind, image_set.digest) == ("image_set", trained.job.images.digest)
    assert {entry.kind for entry in manifests["train-2-cross_attention"].inputs} == {
        "prepare",
        "train-1-embedding",
        "base",
    }
    assert "evaluator" in {entry.kind for entry in manifests["evaluate"].inputs}
    base, evaluator = manifests["train-3-unet"].base, manifests["evaluate"].evaluator
    assert (base["reference"], base["revision"], base["licence"]) == ("base", None, "not stated")
    assert base["digest"] == trained.job.recipe.base.digest == digest_of(base["files"])
    assert evaluator["digest"] == trained.job.recipe.evaluator.digest == digest_of(evaluator["files"])
    prepared, folder = manifests["prepare"].images, trained.job.concept.images
    assert [fact["made_from"] for fact in prepared] == [f"{number:02}.png" for number in range(5)]
    for fact in prepared:
        path = folder / fact["made_from"]
        assert (fact["sha256"], fact["size"]) == (file_digest(path), path.stat().st_size)
    files = [FolderFile(relpath=fact["made_from"], md5=fact["md5"], size=fact["size"]) for fact in prepared]
    assert folder_digest(files) == image_set.digest
    assert {"licence": "MIT", "consent": "none needed"}.items() <= manifests["train-1-embedding"].stated.items()


@pytest.mark.parametrize(
    ("method", "stages", "called"),
    [
        ("textual_inversion", ["train-1-embedding"], "<turtle>"),
        ("textual_inversion+dreambooth", ["train-1-embedding", "train-2-unet"], "<turtle> turtle"),
        ("dreambooth", ["train-1-unet"], "<turtle> turtle"),
        ("dreambooth_lora", ["train-1-unet"], "<turtle> turtle"),
    ],
)
def test_other_methods_run_through_the_same_stages(project, method, stages, called):
    write_params(project.root, method=method)
    made = nothing_made(project)
    check_job(made.job)
    made.run()
    assert [plan.stage for plan in made.job.trainings] == stages
    drawn = made.manifests["evaluate"].files
    for plan in made.job.trainings:
        weights = ConceptWeights.load(made.store.file(made.manifests[plan.stage], "concept.safetensors"))
        assert weights.prompt.called == called
        maps = f"stages/{plan.parameters['stage']['name']}/attention_"
        assert f"{maps}placeholder.png" in drawn
        assert (f"{maps}super_category.png" in drawn) == ("turtle" in called.split())
    page = made.store.file(made.manifests["gallery"], "index.html").read_text()
    assert called.replace("<turtle>", "[V]") + "</strong>" in page


def test_progress_is_told_from_begin_to_end(trained):
    begun = [(title, total, unit) for title, total, unit in trained.reporter.begun if "train" in title]
    assert begun[0] == ("turtle train-1-embedding", 2, "steps")
    assert ("turtle evaluate", 2 * (2 + 1) + 3, "pictures") in trained.reporter.begun
    assert trained.reporter.ended == len(trained.reporter.begun) == 4
    assert trained.reporter.done[-9:] == list(range(1, 10))


def test_what_is_there_is_taken_and_not_made(trained):
    made = nothing_made(trained.job.settings)
    assert not any(receipt["made"] for receipt in made.run())
    assert made.manifests == trained.manifests and made.reporter.begun == []


def test_another_seed_gives_other_weights_and_the_same_seed_the_same(trained, tmp_path, base_folder, evaluator_folder):
    """In a project of its own, whose store is empty."""
    settings = make_training_project(tmp_path / "again", base_folder, evaluator_folder)
    made = nothing_made(settings)
    made.run("prepare", "train-1-embedding")
    weights = made.manifests["train-1-embedding"].files["concept.safetensors"]
    assert weights == trained.manifests["train-1-embedding"].files["concept.safetensors"]
    write_params(settings.root, seed=1)
    other = nothing_made(settings)
    other.run("prepare", "train-1-embedding")
    assert other.manifests["train-1-embedding"].files["concept.safetensors"] != weights


def test_processes_that_are_asked_for_share_the_training(project, monkeypatch):
    from model.training import several_processes as joint
    from model.training.train import train_stage
    from tasks.execution.loaded_base import open_base

    started = []

    def here(processes, *, folder, **work):  # tests/model/training/test_several_processes.py starts real ones
        started.append((processes, folder.name))
        return train_stage(base=open_base(made.job.recipe.base, made.job.settings.device), **work)

    monkeypatch.setattr(joint, "train_jointly", here)
    write_params(project.root, **{stage: {"batch_size": 2} for stage in ("embedding", "cross_attention", "unet")})
    made = nothing_made(project.model_copy(update={"processes": 2}))
    made.run("prepare", "train-1-embedding")
    base = made.job.recipe.base
    assert started == [
        (joint.Processes(count=2, base=base.location, base_revision=None, device="cpu"), "joint"),
    ]
    assert made.manifests["train-1-embedding"].numeric_policy["processes"] == "2"


def test_a_stage_that_cannot_read_its_predecessor_s_weights_never_trains_from_the_base(trained, project):
    made = nothing_made(project)
    made.run("prepare", "train-1-embedding")
    path = Path(made.store.content_address(made.manifests["train-1-embedding"].files["concept.safetensors"].sha256))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(Damaged, match=r"train-1-embedding .*concept\.safetensors: its bytes have changed"):
        made.run("train-2-cross_attention")
    assert made.store.find("train-2-cross_attention", made.job.trainings[1].key) is None


def test_everything_wrong_with_images_and_words_is_said_before_any_work(project):
    folder = project.concepts_dir / "turtle"
    write_concept(folder, super_category="xqzzy")
    (folder / "images" / "00.png").write_text("no picture")
    photo(1, 48, 48).resize((8, 8)).save(folder / "images" / "01.png")
    (project.root / "prompts.yaml").write_text(f"prompts:\n  - prompt: a {{}} {'on the beach ' * 9}\n")
    (job,) = plan_jobs(project, ["turtle"])
    with pytest.raises(InputError) as caught:
        check_job(job)
    said = "\n".join(caught.value.problems)
    for words in ("00.png", "01.png: 8 x 8 pixels", "'xqzzy'", "would be cut off", "the evaluator takes"):
        assert words in said


def test_captions_beside_the_images_of_a_folder_filled_by_hand_are_left_aside(project):
    """As `conceptbooth add` leaves them: by the same rule."""
    images = project.concepts_dir / "turtle" / "images"
    (images / "00.txt").write_text("a photo of a turtle")
    (images / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (images / "metadata.jsonl").write_text("{}")
    (images / "04.png").rename(images / "04")  # a picture all the same, without a suffix
    check_job(plan_jobs(project, ["turtle"])[0])
    made = nothing_made(project)
    made.run("prepare")
    origins = read(made, "prepare", "images.json")
    assert [origin["made_from"] for origin in origins] == ["00.png", "01.png", "02.png", "03.png", "04"]
