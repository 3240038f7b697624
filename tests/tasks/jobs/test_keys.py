"""Which keys a change touches: those from the first stage that it can change, and nothing before."""

import dataclasses
import importlib.metadata
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import tasks.jobs.keys
from model.errors import InputError
from tasks.jobs import code_digest
from tasks.jobs.jobs import plan_jobs
from tasks.project.settings import Settings
from tests.data_project import photo
from tests.training_project import PROMPTS, add_concept, write_concept, write_params

PREPARE, EMBEDDING, CROSS_ATTENTION, UNET, EVALUATE, GALLERY, NOTHING = range(7)


def keys(project: Settings, name: str = "turtle") -> list[str]:
    (job,) = plan_jobs(project, [name])
    return [plan.key for plan in job.stages]


def first_changed(before: list[str], after: list[str]) -> int:
    """Index of the first key that differs; all behind it must differ too, since they are chained."""
    changed = [one != other for one, other in zip(before, after, strict=True)]
    first = changed.index(True) if True in changed else len(changed)
    assert all(changed[first:]) and not any(changed[:first])
    return first


def concept_folder(project: Settings) -> Path:
    return project.concepts_dir / "turtle"


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def one_byte_of(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def prompts(project: Settings, *texts: str) -> None:
    (project.root / "prompts.yaml").write_text(yaml.safe_dump({"prompts": [{"prompt": text} for text in texts]}))


CHANGES: dict[str, tuple[int, Callable[[Settings], object]]] = {
    "another image": (PREPARE, lambda p: photo(99, 48, 48).save(concept_folder(p) / "images" / "02.png")),
    "one image more": (PREPARE, lambda p: photo(99, 48, 48).save(concept_folder(p) / "images" / "05.png")),
    "one image less": (PREPARE, lambda p: (concept_folder(p) / "images" / "04.png").unlink()),
    "size of the prepared images": (PREPARE, lambda p: write_params(p.root, prepare={"max_short_side": 128})),
    "caption": (EMBEDDING, lambda p: write_concept(concept_folder(p), instance_prompt="a drawing of a {}")),
    "super-category": (EMBEDDING, lambda p: write_concept(concept_folder(p), super_category="teapot")),
    "training seed": (EMBEDDING, lambda p: write_params(p.root, seed=1)),
    "dtype": (EMBEDDING, lambda p: write_params(p.root, dtype="bfloat16")),
    "base model": (EMBEDDING, lambda p: one_byte_of(p.root / "base/unet/diffusion_pytorch_model.safetensors")),
    "base model's tokenizer": (EMBEDDING, lambda p: rewrite(p.root / "base/tokenizer/tokenizer.json", "{", "{ ")),
    "stage 1": (EMBEDDING, lambda p: write_params(p.root, embedding={"learning_rate": 1e-4})),
    "stage 2": (CROSS_ATTENTION, lambda p: write_params(p.root, cross_attention={"attention_mean_weight": 1.5})),
    "stage 3": (UNET, lambda p: write_params(p.root, unet={"max_train_steps": 3})),
    "views of stage 3": (UNET, lambda p: write_params(p.root, unet={"flip_probability": 0.5})),
    "form of the concept model": (UNET, lambda p: write_params(p.root, model_form="exact")),
    "a prompt": (EVALUATE, lambda p: prompts(p, PROMPTS[0], "a {} on the moon")),
    "prompts in another order": (EVALUATE, lambda p: prompts(p, *reversed(PROMPTS))),
    "pictures of a prompt": (EVALUATE, lambda p: write_params(p.root, evaluation={"images_per_prompt": 3})),
    "evaluation seed": (EVALUATE, lambda p: write_params(p.root, evaluation={"seed": 1})),
    "guidance": (EVALUATE, lambda p: write_params(p.root, sampling={"guidance_scale": 5.0})),
    "sampling steps": (EVALUATE, lambda p: write_params(p.root, sampling={"num_inference_steps": 3})),
    "[V]'s length at drawing": (EVALUATE, lambda p: write_params(p.root, sampling={"word_norm": 1})),
    "[V]'s direction at drawing": (EVALUATE, lambda p: write_params(p.root, sampling={"word_turn": 0.2})),
    "that it is left as learnt": (NOTHING, lambda p: write_params(p.root, sampling={"word_norm": 0, "word_turn": 0})),
    "evaluator": (EVALUATE, lambda p: one_byte_of(p.root / "evaluator/model.safetensors")),
    "licence, which the gallery shows": (GALLERY, lambda p: write_concept(concept_folder(p), licence="CC0-1.0")),
    "description": (NOTHING, lambda p: write_concept(concept_folder(p), description="A very fine turtle.")),
    "batch size of sampling, which may change the last bits": (
        EVALUATE,
        lambda p: write_params(p.root, sampling={"batch_size": 3}),
    ),
    "notes beside the base": (NOTHING, lambda p: (p.root / "base" / "README.md").write_text("Nice.")),
    "a preset's numbers, written out": (
        NOTHING,
        lambda p: write_params(p.root, unet={"adam_beta1": 0.9, "weight_decay": 1e-2}),
    ),
    "time stamps": (NOTHING, lambda p: [os.utime(file, (1, 1)) for file in p.root.rglob("*") if file.is_file()]),
    "another concept beside it": (NOTHING, lambda p: add_concept(p.root, "teapot", 50)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_touches_the_keys_from_its_stage_on(project, change):
    stage, apply = CHANGES[change]
    before = keys(project)
    assert len(set(before)) == NOTHING
    apply(project)
    assert first_changed(before, keys(project)) == min(stage, NOTHING)


def test_the_form_is_a_matter_of_the_last_stage_where_weights_are_trained(project):
    (job,) = plan_jobs(project, ["turtle"])
    assert [plan.parameters.get("form") for plan in job.trainings] == [None, None, "small"]
    small = keys(project)
    write_params(project.root, model_form="exact")
    (job,) = plan_jobs(project, ["turtle"])
    assert all("form" not in plan.parameters for plan in job.trainings)  # the keys of before there was a choice
    write_params(project.root, model_form="small")
    assert keys(project) == small  # which is what it is where nothing is said
    for model_form in ("small", "exact"):
        write_params(project.root, method="textual_inversion", model_form=model_form)
        (job,) = plan_jobs(project, ["turtle"])
        assert "form" not in job.trainings[-1].parameters


def test_where_the_project_lies_and_when_is_in_no_key(project, tmp_path):
    before = keys(project)
    moved = shutil.move(project.root, tmp_path / "elsewhere")
    assert keys(Settings(root=moved)) == before


def test_a_device_asked_for_by_name_has_the_key_of_the_same_device_found(project, monkeypatch):
    before = keys(project)
    found = plan_jobs(project, ["turtle"])[0].recipe.numeric_policy["device"]
    assert keys(Settings(root=project.root, device=found)) == before
    other = "mps" if found == "cpu" else "cpu"
    assert first_changed(before, keys(Settings(root=project.root, device=other))) == EMBEDDING


def test_processes_that_share_a_training_are_in_its_key(project):
    """Sums are rounded otherwise; one process is what there always was."""
    before = keys(project)
    assert keys(Settings(root=project.root, processes=1)) == before
    with pytest.raises(InputError, match=r"embedding\.batch_size = 1: 2 processes share each step.*setting processes"):
        keys(Settings(root=project.root, processes=2))
    write_params(project.root, **{stage: {"batch_size": 2} for stage in ("embedding", "cross_attention", "unet")})
    alone, shared = keys(project), keys(Settings(root=project.root, processes=2))
    assert first_changed(alone, shared) == EMBEDDING
    evaluation = plan_jobs(Settings(root=project.root, processes=2), ["turtle"])[0].stages[EVALUATE]
    assert "processes" not in evaluation.numeric_policy  # it draws by one


def test_the_name_is_in_a_key_only_as_the_word_that_is_taught(project):
    (job,) = plan_jobs(project, ["turtle"])
    captions = dict(job.recipe.captions) | {"concept": "tortoise"}
    renamed = tasks.jobs.keys.plan_stages(dataclasses.replace(job.recipe, captions=captions))
    assert first_changed([p.key for p in job.stages], [p.key for p in renamed]) == GALLERY


@pytest.mark.parametrize(
    ("package", "stage"), [("pillow", PREPARE), ("torch", EMBEDDING), ("tokenizers", EMBEDDING), ("jinja2", GALLERY)]
)
def test_another_version_of_a_library_that_matters(project, monkeypatch, package, stage):
    before = keys(project)
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "9." + real(name) if name == package else real(name)
    )
    assert first_changed(before, keys(project)) == stage


def test_peft_matters_where_it_trains_and_nowhere_else(project, monkeypatch):
    lora = {"lora_rank": 2, "lora_alpha": 2.0}
    real = importlib.metadata.version
    for settings, stage in (({}, NOTHING), ({"unet": lora}, UNET), ({"cross_attention": lora}, CROSS_ATTENTION)):
        write_params(project.root, **settings)
        before = keys(project)
        with monkeypatch.context() as newer:
            newer.setattr(importlib.metadata, "version", lambda n: "9." + real(n) if n == "peft" else real(n))
            assert first_changed(before, keys(project)) == stage


def test_options_that_are_off_are_in_no_key(project):
    (job,) = plan_jobs(project, ["turtle"])
    used = {"name", "trains", "starts_from", "rare_token", "learning_rate", "attention_mean_weight"}
    off = {"prior_weight", "class_images", "train_text_encoder", "lora_rank", "lora_alpha", "semantic_weight"}
    off |= {"context_embedding_weight", "context_attention_weight"}
    assert all(used <= plan.parameters["stage"].keys() for plan in job.trainings)
    assert not any(off & plan.parameters["stage"].keys() for plan in job.trainings)
    before = keys(project)
    write_params(project.root, unet={"prior_weight": 0, "train_text_encoder": False})
    assert keys(project) == before
    write_params(project.root, unet={"train_text_encoder": True})
    assert first_changed(before, keys(project)) == UNET


def test_a_build_of_torch_for_another_device_is_the_same_version(project, monkeypatch):
    before = keys(project)
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: real(name).split("+")[0] + "+cu130")
    assert keys(project) == before


def test_a_hub_base_is_its_id_and_commit(project):
    commit = "0123456789abcdef0123456789abcdef01234567"
    write_params(project.root, base="owner/model", base_revision=commit)
    before = keys(project)
    write_params(project.root, base="owner/model", base_revision=commit[::-1])
    assert first_changed(before, keys(project)) == EMBEDDING


def test_plans_are_json_and_need_no_torch(project):
    import subprocess
    import sys

    code = f"""
import sys, dataclasses, json
from pathlib import Path
from tasks.jobs.jobs import plan_jobs
from tasks.project.settings import Settings
(job,) = plan_jobs(Settings(root=Path({str(project.root)!r})), ["turtle"])
print(json.dumps([plan.key for plan in job.stages]))
json.dumps([dataclasses.asdict(plan) for plan in job.stages], allow_nan=False)
heavy = {{"torch", "diffusers", "transformers", "mlflow", "dvc", "prefect"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == keys(project)


# Which source file has a say in which stage: an edit of the code, and nothing else in it, changes the keys.


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """A copy of the source code that may be edited, and that the digests are taken of."""
    source = tmp_path / "source"
    for room in ("model", "tasks"):
        shutil.copytree(code_digest.PROJECT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_digest, "PROJECT", source)
    code_digest.code_digests.cache_clear()

    def edit(file: str, change: Callable[[str], str]) -> None:
        path = source / file
        text = path.read_text()
        path.write_text(change(text))
        assert path.read_text() != text
        code_digest.code_digests.cache_clear()

    yield edit
    code_digest.code_digests.cache_clear()


@pytest.mark.parametrize(
    ("file", "stage"),
    [
        ("tasks/stages/prepare.py", PREPARE),
        ("tasks/concepts/image_reading.py", PREPARE),
        ("model/training/train.py", EMBEDDING),
        ("model/training/objective.py", EMBEDDING),
        ("model/training/context.py", EMBEDDING),
        ("model/training/learners.py", EMBEDDING),
        ("model/diffusion/attention.py", EMBEDDING),
        ("model/diffusion/latents.py", EMBEDDING),
        ("model/bases/tokens.py", EMBEDDING),
        ("tasks/stages/train.py", EMBEDDING),
        ("model/drawing/sample.py", EVALUATE),
        ("model/scores/metrics.py", EVALUATE),
        ("model/drawing/attention_maps.py", EVALUATE),
        ("tasks/stages/evaluate.py", EVALUATE),
        ("tasks/figures/gallery.py", GALLERY),
        ("tasks/figures/contact_sheet.py", GALLERY),
        ("tasks/figures/templates/gallery.html.j2", GALLERY),
        ("model/methods/method.py", NOTHING),
        ("model/training/checkpoint.py", NOTHING),
        ("model/training/checkpoint_files.py", NOTHING),
        ("model/runtime/memory.py", NOTHING),
        ("tasks/execution/kept_pictures.py", NOTHING),
        ("tasks/stages/class_images.py", NOTHING),
        ("tasks/store/store.py", NOTHING),
        ("tasks/execution/caching.py", NOTHING),
        ("tasks/execution/stage_context.py", NOTHING),
        ("tasks/execution/stage_task.py", NOTHING),
        ("tasks/jobs/kinds.py", NOTHING),
        ("tasks/concepts/image_checks.py", PREPARE),
        ("tasks/registry/registration.py", NOTHING),
    ],
)
def test_edited_code_touches_the_stages_that_run_it(project, edited, file, stage):
    before = keys(project)
    edited(file, lambda text: text + ("\n<p></p>\n" if file.endswith(".j2") else "\nprint()\n"))
    assert first_changed(before, keys(project)) == stage


def test_comments_docstrings_formatting_and_the_words_of_errors_retrain_nothing(project, edited):
    before = keys(project)
    edited("model/training/train.py", lambda text: text.replace('"""One training loop', '"""A single training loop'))
    edited("model/training/train.py", lambda text: text.replace("\n\n\n", "\n\n\n\n# A remark.\n\n"))
    edited("model/training/train.py", lambda text: text.replace("state.step += 1", "state.step += (1)  # the next one"))
    edited("model/bases/tokens.py", lambda text: text.replace("super-category: empty", "no super-category"))
    edited("model/bases/tokens.py", lambda text: text.replace("cannot be read ({error})", "is damaged: {error!r}"))
    assert keys(project) == before
    edited("model/training/train.py", lambda text: text.replace("state.step += (1)", "state.step += 2"))
    assert first_changed(before, keys(project)) == EMBEDDING
