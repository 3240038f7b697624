"""`conceptbooth export`: what other programs load draws what `generate` draws."""

import hashlib
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from huggingface_hub import ModelCard
from PIL import Image
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import CLIPTokenizer
from typer.testing import CliRunner, Result

from flows.cli.app import app
from model.bases.base import load_base
from model.diffusion.text_encoding import category_embeddings
from model.drawing.sample import generate
from model.drawing.sampling_options import Sampling
from model.exports.low_rank import low_rank, restored
from model.marks.marking import read_mark
from model.weights.concept import ConceptWeights
from tasks.execution.reporting import Silence
from tasks.export.export import record_of
from tasks.export.measuring import evaluator_of, score_again
from tasks.project.settings import Settings
from tasks.registry.reference import VersionReference
from tasks.registry.training_facts import TrainingFacts
from tasks.registry.versions import KEY_TAG, WEIGHTS_FILE, ResolvedVersion, resolve
from tests.exported import drawn_as_the_card_says
from tests.lineage_project import CONCEPT, Trained
from tests.training_project import PROMPTS

SAMPLES = [f"samples/{number + 1}.png" for number in range(len(PROMPTS))]


@pytest.fixture(autouse=True)
def _inside(lineage_project: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lineage_project.settings.root)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def drawn(tmp_path: Path) -> np.ndarray:
    """Picture 0 of seed 7, as the cards' examples say."""
    prompt = "a photo of a {} in the snow"
    done = run("generate", f"{CONCEPT}/2", prompt, "-n", 1, "--seed", 7, "-o", tmp_path / "drawn")
    assert done.exit_code == 0, done.output
    return np.asarray(Image.open(done.stdout.strip())).astype(int)


def test_a_diffusers_folder_draws_the_very_pictures_of_generate(lineage_project: Trained, tmp_path: Path):
    done = run("export", f"{CONCEPT}/2", "--as", "diffusers", "-o", tmp_path / "new" / "owl", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["concept"], told["version"], told["made_from"]) == (CONCEPT, 2, "small")
    files = [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
    assert sorted(told["files"]) == sorted(path.relative_to(tmp_path / "new" / "owl").as_posix() for path in files)
    assert {"model_index.json", "unet/diffusion_pytorch_model.safetensors", "README.md"} <= set(told["files"])
    assert not any(path.suffix in (".bin", ".pt", ".pkl") for path in files)
    difference = np.abs(drawn(tmp_path) - drawn_as_the_card_says(tmp_path / "new" / "owl"))
    assert difference.max() <= 1
    card = ModelCard.load(tmp_path / "new" / "owl" / "README.md")
    assert card.data.to_dict()["pipeline_tag"] == "text-to-image"
    version = resolve(lineage_project.settings, VersionReference.parse(f"{CONCEPT}/2"))
    for fact in (
        version.tags[KEY_TAG],
        "small: how the base has changed",
        "source own photographs; consent the owner",
        "CLIP-I",
    ):
        assert fact in card.text
    licences = card.text.partition("## Licences")[2].partition("## Limits")[0]
    assert "| the images that it was learned from | CC-BY-4.0 |" in licences
    assert "ConceptBooth | Apache-2.0 |" in licences


def test_a_word_that_the_evaluation_moved_goes_out_as_it_was_scored(
    lineage_project: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def scored_with_moves(settings: Settings, version: ResolvedVersion) -> TrainingFacts:
        record = record_of(settings, version)
        parameters = {**record.evaluation.parameters, "word_norm": 1.0, "word_turn": 1.0}
        return replace(record, evaluation=replace(record.evaluation, parameters=parameters))

    monkeypatch.setattr("tasks.export.export.record_of", scored_with_moves)
    done = run("export", f"{CONCEPT}/2", "--as", "comfyui", "-o", tmp_path / "owl", "--json")
    assert done.exit_code == 0, done.output
    [embedding] = load_file(tmp_path / "owl" / "models/embeddings" / "cb-owl.safetensors").values()
    base = load_base(str(lineage_project.settings.root / "base"))
    version = resolve(lineage_project.settings, VersionReference.parse(f"{CONCEPT}/2"))
    learnt = ConceptWeights.load(version.folder / WEIGHTS_FILE)
    [category] = category_embeddings(base, learnt.prompt)
    torch.testing.assert_close(embedding, category)
    assert (embedding - learnt.embeddings[0]).abs().max() > 1e-4


def test_others_may_read_every_file_and_the_samples_say_where_they_come_from(tmp_path: Path):
    before = os.umask(0o022)
    try:
        done = run("export", f"{CONCEPT}/2", "--as", "diffusers", "-o", tmp_path / "owl")
    finally:
        os.umask(before)
    assert done.exit_code == 0, done.output
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "owl").rglob("*") if path.is_file()} == {0o644}
    mark = read_mark(tmp_path / "owl" / SAMPLES[1])
    assert (mark.concept, mark.version, mark.prompt, mark.text) == (
        CONCEPT,
        2,
        PROMPTS[1],
        "a <owl> turtle on the beach",
    )
    assert f"![a <owl> turtle on the beach]({SAMPLES[1]})" in (tmp_path / "owl" / "README.md").read_text()


def test_transformers_4_finds_words_and_weights_where_it_looks_for_them(lineage_project: Trained, tmp_path: Path):
    done = run("export", f"{CONCEPT}/2", "--as", "diffusers", "-o", tmp_path / "owl")
    assert done.exit_code == 0, done.output
    tokenizer, base = tmp_path / "owl" / "tokenizer", load_base("base")
    words = json.loads((tokenizer / "vocab.json").read_text())
    assert words == base.tokenizers[0].tokenizer.get_vocab()
    assert json.loads((tokenizer / "added_tokens.json").read_text()) == {"<owl>": len(words)}
    merges = (tokenizer / "merges.txt").read_text().splitlines()
    assert merges[0].startswith("#version") and "ur t" in merges  # of "turtle"
    # A tokenizer of these three files alone reads as the whole folder's does.
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tokenizer / name).unlink()
    slow = CLIPTokenizer.from_pretrained(tokenizer)
    assert slow("a photo of a turtle", add_special_tokens=False)["input_ids"] == [
        words[f"{word}</w>"] for word in ["a", "photo", "of", "a", "turtle"]
    ]
    named = load_file(tmp_path / "owl" / "text_encoder" / "model.safetensors")
    own = base.text_encoders[0].model.state_dict()
    assert named.keys() == {f"text_model.{name}" for name in own}


def test_nothing_is_overwritten(tmp_path: Path):
    (tmp_path / "owl").write_text("mine")
    done = run("export", CONCEPT, "--as", "diffusers", "-o", tmp_path / "owl")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "is there already" in done.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("form", "checkpoints", "embeddings", "said"),
    [
        ("a1111", "models/Stable-diffusion", "embeddings", "a photo of a cb-owl turtle"),
        ("comfyui", "models/checkpoints", "models/embeddings", "a photo of a embedding:cb-owl turtle"),
    ],
)
def test_a_checkpoint_and_an_embedding_draw_them_too(
    form: str, checkpoints: str, embeddings: str, said: str, lineage_project: Trained, tmp_path: Path
):
    done = run("export", f"{CONCEPT}/2", "--as", form, "-o", tmp_path / "owl", "--json")
    assert done.exit_code == 0, done.output
    files = {"README.md", f"{checkpoints}/cb-owl.safetensors", f"{embeddings}/cb-owl.safetensors", *SAMPLES}
    assert set(json.loads(done.stdout)["files"]) == files
    card = (tmp_path / "owl" / "README.md").read_text()
    assert said in card
    assert "<owl>" not in card  # a word that these programs do not know
    checkpoint = load_file(tmp_path / "owl" / checkpoints / "cb-owl.safetensors")
    pipeline = StableDiffusionPipeline.from_pretrained(lineage_project.settings.root / "base")
    pipeline.unet.load_state_dict(convert_ldm_unet_checkpoint(dict(checkpoint), pipeline.unet.config))
    pipeline.vae.load_state_dict(convert_ldm_vae_checkpoint(dict(checkpoint), pipeline.vae.config))
    pipeline.load_textual_inversion(tmp_path / "owl" / embeddings, weight_name="cb-owl.safetensors", token="<owl>")
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    seed = int.from_bytes(hashlib.sha256(b"7/0").digest()[:7], "big")
    picture = pipeline(
        "a photo of a <owl> turtle in the snow",
        generator=torch.Generator().manual_seed(seed),
        guidance_scale=3.0,
        num_inference_steps=2,
    ).images[0]
    assert np.abs(drawn(tmp_path) - np.asarray(picture).astype(int)).max() <= 1


def test_a_lora_draws_what_is_left_of_the_concept_and_says_what_is_lost(lineage_project: Trained, tmp_path: Path):
    done = run("export", f"{CONCEPT}/2", "--as", "lora", "--rank", 2, "--measure", "-o", tmp_path / "owl", "--json")
    assert done.exit_code == 0, done.output
    files = ["README.md", "embedding.safetensors", "loss.json", "pytorch_lora_weights.safetensors", *SAMPLES]
    told = json.loads(done.stdout)
    assert told["files"] == files
    base = load_base("base")
    weights = ConceptWeights.load(
        resolve(lineage_project.settings, VersionReference.parse(f"{CONCEPT}/2")).folder / "concept.safetensors"
    )
    found = low_rank(base, weights, 2)
    left = restored(weights, found)
    text = weights.prompt.fill("a photo of a {} in the snow")
    sampling = Sampling(guidance_scale=3.0, num_inference_steps=2, seed=7)
    expected, whole = (np.asarray(generate(base, w, [text], 1, sampling)[0][0]).astype(int) for w in (left, weights))
    picture = drawn_as_the_card_says(tmp_path / "owl")
    assert np.abs(picture - expected).max() <= 1
    assert np.abs(picture - whole).max() > 1
    loss = json.loads((tmp_path / "owl" / "loss.json").read_text())
    assert loss["rank"] == 2
    assert loss["relative_error"] == pytest.approx(found.relative)
    assert loss["parameters"] == pytest.approx({lost.parameter: lost.relative for lost in found.losses})
    evaluation = lineage_project.last.manifests["evaluate"]
    scores = json.loads(lineage_project.last.store.file(evaluation, "scores.json").read_text())
    assert loss["scores"]["clip_i"]["whole"] == scores["clip_i"]["mean"]
    assert loss["scores"]["clip_i"]["lora"] != scores["clip_i"]["mean"]
    assert told["scores"] == loss["scores"]
    measured = f"CLIP-I {loss['scores']['clip_i']['whole']:.3f} -> {loss['scores']['clip_i']['lora']:.3f}"
    assert measured in told["lost"]


def test_a_lora_of_kohyas_names_is_the_same_change_and_has_its_rank_for_alpha(lineage_project: Trained, tmp_path: Path):
    done = run("export", f"{CONCEPT}/2", "--as", "kohya", "--rank", 8, "-o", tmp_path / "owl", "--json")
    assert done.exit_code == 0, done.output
    files = ["README.md", "embeddings/cb-owl.safetensors", "lora/cb-owl-lora.safetensors", "loss.json", *SAMPLES]
    assert json.loads(done.stdout)["files"] == files
    base = load_base("base")
    version = resolve(lineage_project.settings, VersionReference.parse(f"{CONCEPT}/2"))
    weights = ConceptWeights.load(version.folder / "concept.safetensors")
    pipeline = StableDiffusionPipeline.from_pretrained("base")
    pipeline.load_lora_weights(tmp_path / "owl" / "lora", weight_name="cb-owl-lora.safetensors")
    pipeline.fuse_lora(components=["unet"])
    pipeline.unload_lora_weights()
    with restored(weights, low_rank(base, weights, 8)).applied(base):
        for name, parameter in pipeline.unet.named_parameters():
            assert torch.allclose(parameter, base.denoiser.get_parameter(name), atol=1e-5), name
    with safe_open(tmp_path / "owl" / "lora" / "cb-owl-lora.safetensors", "pt") as file:
        names = list(file.keys())
        alphas = {float(file.get_tensor(name)) for name in names if name.endswith(".alpha")}
        ranks = {len(file.get_tensor(name)) for name in names if name.endswith("down.weight")}
        assert "lora_unet_conv_out.lora_down.weight" in names
        assert file.metadata()["ss_network_dim"] == "8"
    assert (alphas, ranks) == ({8.0}, {8})
    assert "<lora:cb-owl-lora:1>" in (tmp_path / "owl" / "README.md").read_text()


def test_scoring_the_whole_model_again_gives_the_scores_of_its_evaluation(lineage_project: Trained):
    settings, made = lineage_project.settings, lineage_project.last
    version = resolve(settings, VersionReference.parse(f"{CONCEPT}/2"))
    record, weights = record_of(settings, version), ConceptWeights.load(version.folder / "concept.safetensors")
    base, at_once = load_base("base"), []
    base.denoiser.register_forward_pre_hook(lambda _, arguments: at_once.append(len(arguments[0])))
    again = score_again(made.store, evaluator_of(settings, record), base, record, weights, Silence(), most_at_once=1)
    for name in ("clip_i", "clip_t"):
        assert again[name] == pytest.approx(record.scores[name]["mean"], abs=1e-3)
    assert record.evaluation.parameters["batch_size"] > 1
    assert set(at_once) == {2}, (
        "one picture, and its half without the prompt, where the project's setting asks for that"
    )


def test_what_measures_must_be_what_measured(lineage_project: Trained, tmp_path: Path):
    config = lineage_project.settings.root / "evaluator" / "config.json"
    before = config.read_text()
    config.write_text(before + " ")
    try:
        done = run("export", CONCEPT, "--as", "lora", "--measure", "-o", tmp_path / "owl")
    finally:
        config.write_text(before)
    assert done.exit_code == 2
    assert "not the one that scored this version" in done.stderr
    assert not (tmp_path / "owl").exists()


def test_a_rank_is_a_loras():
    done = run("export", CONCEPT, "--as", "diffusers", "--rank", 4, "-o", "owl")
    assert done.exit_code == 2
    assert "--as lora" in done.stderr


def test_what_takes_long_is_announced_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = io.StringIO()
    terminal = Console(file=said, force_terminal=True, width=100)
    monkeypatch.setattr("flows.concepts.export.notices", lambda: terminal)
    assert run("export", CONCEPT, "--as", "diffusers", "-o", tmp_path / "owl").exit_code == 0
    assert "reading the registry ..." in said.getvalue()
    assert "loading the base base ..." in said.getvalue()
