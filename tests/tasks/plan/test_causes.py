"""Every change is said in words that name it, once, and only the stages that it touches will run."""

import dataclasses
import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import pytest

import tasks.jobs.keys
from tasks.jobs.code_digest import ALL
from tasks.jobs.jobs import Job, plan_jobs
from tasks.plan.causes import causes
from tasks.plan.last_training import FinishedStage, LastTraining, facts_json
from tasks.project.settings import Settings
from tasks.store.manifest import SCHEMA
from tests.data_project import photo
from tests.tasks.jobs.test_keys import CHANGES, concept_folder, one_byte_of, prompts
from tests.training_project import PROMPTS, write_concept, write_params

NO_CAUSE = {name for name, (stage, _) in CHANGES.items() if stage == 6}


def as_trained(job: Job) -> LastTraining:
    """The record of a job as if it had been done."""
    stages = tuple(
        FinishedStage(stage=plan.stage, key=plan.key, digest="d", files={"file": ["0" * 64, 1]}) for plan in job.stages
    )
    images = {file.relpath: file.md5 for file in job.images.files}
    trained = LastTraining(
        concept=job.concept.name,
        at="2026-01-01T00:00:00+00:00",
        manifest_schema=SCHEMA,
        images=images,
        content="c",
        version=1,
        scores={},
        stages=stages,
        facts_json=facts_json(job),
    )
    read = LastTraining.from_json(trained.to_json())
    assert read is not None and read.to_json() == trained.to_json()
    return read


def job(project: Settings) -> Job:
    (planned,) = plan_jobs(project, ["turtle"])
    return planned


def said_after(project: Settings, change: Callable[[Settings], object]) -> list[str]:
    before = as_trained(job(project))
    change(project)
    return causes(job(project), before)


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_has_a_cause_of_its_own(project, change):
    said = said_after(project, CHANGES[change][1])
    assert len(said) == (0 if change in NO_CAUSE else 1), said
    assert "does not name" not in "".join(said)


def images(project: Settings) -> Path:
    return concept_folder(project) / "images"


def other_images(project: Settings) -> None:
    photo(90, 48, 48).save(images(project) / "03.png")
    photo(91, 48, 48).save(images(project) / "05.png")
    photo(92, 48, 48).save(images(project) / "06.png")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_images, ["images: +2 (05.png, 06.png), 1 changed (03.png)"]),
        (lambda p: (images(p) / "04.png").unlink(), ["images: -1 (04.png)"]),
        (lambda p: (images(p) / "04.png").rename(images(p) / "9.png"), ["images: 1 renamed (04.png -> 9.png)"]),
        (
            lambda p: write_params(p.root, unet={"learning_rate": 1e-6}, cross_attention={"batch_size": 2}),
            ["stage 2: batch_size 1 -> 2", "stage 3: learning_rate 0.0002 -> 1e-6"],
        ),
        (lambda p: write_params(p.root, seed=7), ["seed 0 -> 7"]),
        (lambda p: write_params(p.root, dtype="bfloat16"), ["autocast none -> bfloat16"]),
        (
            lambda p: write_concept(concept_folder(p), super_category="tea pot", instance_prompt="a drawing of a {}"),
            ['super-category turtle -> "tea pot"', 'instance prompt "a photo of a {}" -> "a drawing of a {}"'],
        ),
        (
            lambda p: one_byte_of(p.root / "base/unet/diffusion_pytorch_model.safetensors"),
            ["base model changed: other files in base"],
        ),
        (
            lambda p: prompts(p, PROMPTS[0], "a {} on the moon"),
            ["evaluation prompts: +1, -1 (a {} on the moon, a {} on the beach)"],
        ),
        (lambda p: prompts(p, *reversed(PROMPTS)), ["evaluation prompts: in another order"]),
        (lambda p: write_params(p.root, sampling={"num_inference_steps": 3}), ["evaluate: num_inference_steps 2 -> 3"]),
        (lambda p: write_concept(concept_folder(p), licence="CC0-1.0"), ["gallery: licence MIT -> CC0-1.0"]),
    ],
)
def test_a_change_is_said_in_words(project, change, said):
    assert said_after(project, change) == said


def test_another_commit_of_a_base_on_the_hub(project):
    def at(commit: str) -> Callable[[Settings], None]:
        return lambda p: write_params(p.root, base="owner/model", base_revision=commit * 40)

    at("a")(project)
    assert said_after(project, at("b")) == ["base model revision changed: aaaaaaaa -> bbbbbbbb"]


def test_code_and_libraries_are_named_once(project, monkeypatch):
    before = as_trained(job(project))
    real, real_version = tasks.jobs.keys.code_digests, importlib.metadata.version
    edited = {"model/training/train.py": "new", "model/drawing/sample.py": "new"}

    def digests(entry: str) -> dict[str, str]:
        found = real(entry)
        changed = {name: edited[name] for name in found.keys() & edited.keys()}
        return found | changed | ({ALL: "new"} if changed else {})

    monkeypatch.setattr(tasks.jobs.keys, "code_digests", digests)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9" if name == "numpy" else real_version(name))
    assert causes(job(project), before) == [
        f"library versions: numpy {'.'.join(real_version('numpy').split('.')[:2])} -> 9.9",
        "training code: model/training/train.py changed",
        "evaluation code: model/drawing/sample.py changed",
    ]


def test_another_method_is_named_with_its_stages(project):
    planned = job(project)
    trained = as_trained(planned)
    shorter = dataclasses.replace(trained, stages=tuple(s for s in trained.stages if s.stage != "train-3-unet"))
    assert causes(planned, shorter) == ["stages embedding, cross_attention -> embedding, cross_attention, unet"]


def test_what_is_no_record_is_none():
    for first in (b"", b"{}", b"[]", b'{"schema": 99}', b'{"schema": 1, "stages": [{}]}'):
        assert LastTraining.from_json(first + b"\n{}\n") is None
    assert LastTraining.from_json(b"{}") is None


def test_facts_that_cannot_be_read_leave_the_concept_stale(project):
    before = dataclasses.replace(as_trained(job(project)), facts_json="{cut")
    write_params(project.root, seed=7)
    assert causes(job(project), before) == ["something that its record does not name"]
