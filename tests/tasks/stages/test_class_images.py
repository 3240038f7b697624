"""Class images: drawn once by the base for all concepts of a super-category, and part of what a training read."""

import json
from pathlib import Path

import numpy as np
import pytest

from flows.lineage.tree import lineage_tree
from model.drawing.sampling_options import Sampling
from model.errors import InputError
from tasks.jobs.jobs import plan_jobs
from tasks.lineage.chain import read_chain
from tasks.lineage.document import document
from tasks.lineage.head import find_head
from tasks.lineage.index import open_index
from tasks.lineage.page import write_page
from tasks.plan.causes import causes
from tasks.plan.last_training import last_training_of
from tasks.project.settings import Settings
from tasks.registry.reference import VersionReference
from tasks.registry.registration import register
from tasks.registry.versions import TAGS
from tasks.store.pictures import pictures
from tasks.store.store import Store, open_store
from tasks.tracking.client import connect
from tasks.upkeep.garbage import DAY, Needs
from tasks.upkeep.gc import clear_store
from tasks.verification.chain import verify
from tests.lineage_project import train
from tests.made_stages import MadeStages
from tests.training_project import add_concept, make_training_project, write_params

DRAWN = 3


def params(root: Path, **changes) -> None:
    unet = {"prior_weight": 1.0, "class_images": DRAWN, "learning_rate": 0.01} | changes.pop("unet", {})
    write_params(root, method="dreambooth_prior", unet=unet, **changes)


@pytest.fixture(scope="module")
def settings(tmp_path_factory, base_folder, evaluator_folder) -> Settings:
    """Two turtles and a teapot."""
    root = tmp_path_factory.mktemp("class-images") / "project"
    settings = make_training_project(root, base_folder, evaluator_folder)
    add_concept(root, "tortoise", 20)
    add_concept(root, "teapot", 40, super_category="teapot")
    params(root)
    return settings


@pytest.fixture(scope="module")
def trained(settings) -> MadeStages:
    return train(settings, "turtle")


def key_of(settings: Settings, name: str = "turtle") -> str:
    (job,) = plan_jobs(settings, [name])
    return next(plan.key for plan in job.stages if plan.kind == "class_images")


def test_they_are_what_the_base_draws_of_the_super_category(trained):
    from model.drawing.sample import generate
    from tasks.execution.loaded_base import open_base

    drawn = pictures(trained.store, trained.manifests["class_images"], "class_images")
    sampling = Sampling(seed=0, guidance_scale=3.0, num_inference_steps=2)
    base = open_base(trained.job.recipe.base, trained.job.settings.device)
    (expected,) = generate(base, None, ["a photo of a turtle"], DRAWN, sampling)
    assert len(drawn) == DRAWN
    for ours, theirs in zip(drawn, expected, strict=True):
        assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 1


def test_the_training_reads_them_and_they_read_no_image_of_the_concept(trained):
    manifests = trained.manifests
    read = {entry.kind: entry.digest for entry in manifests["train-1-unet"].inputs}
    assert read.keys() == {"prepare", "class_images", "base"}
    assert read["class_images"] == manifests["class_images"].digest()
    assert [entry.kind for entry in manifests["class_images"].inputs] == ["base"]
    curve = json.loads(trained.store.file(manifests["train-1-unet"], "curves.json").read_text())
    assert all(point["prior_loss"] > 0 for point in curve)
    assert manifests["train-1-unet"].metrics["prior_loss"] == curve[-1]["prior_loss"]


def test_without_them_the_weights_are_others(trained, tmp_path, base_folder, evaluator_folder):
    """In a project of its own, whose store is empty."""
    other = make_training_project(tmp_path / "plain", base_folder, evaluator_folder)
    write_params(other.root, method="dreambooth", unet={"learning_rate": 0.01})
    plain = train(other, "turtle")
    assert "class_images" not in plain.manifests
    ours, theirs = (made.manifests["train-1-unet"].files["concept.safetensors"] for made in (trained, plain))
    assert ours != theirs


def test_concepts_of_one_super_category_share_them(settings, trained):
    assert key_of(settings, "tortoise") == key_of(settings, "turtle") != key_of(settings, "teapot")


@pytest.mark.parametrize(
    ("change", "is_other"),
    [
        ({"seed": 1}, True),
        ({"unet": {"class_images": 4}}, True),
        ({"sampling": {"guidance_scale": 5.0}}, True),
        ({"sampling": {"num_inference_steps": 3}}, True),
        ({"dtype": "bfloat16"}, True),
        ({"unet": {"max_train_steps": 3}}, False),
        ({"unet": {"prior_weight": 0.5}}, False),
        ({"evaluation": {"seed": 5}}, False),
        ({"prepare": {"max_short_side": 100}}, False),
    ],
)
def test_their_key_holds_what_changes_them_and_nothing_else(settings, change, is_other):
    before = key_of(settings)
    params(settings.root, **change)
    try:
        assert (key_of(settings) != before) == is_other
    finally:
        params(settings.root)


def test_a_plan_says_why_they_are_drawn_anew(settings, trained):
    scores = json.loads(trained.store.file(trained.manifests["evaluate"], "scores.json").read_text())
    before = last_training_of(trained.job, trained.manifests, None, scores)
    params(settings.root, seed=1, unet={"class_images": 5, "prior_weight": 2.0})
    try:
        (job,) = plan_jobs(settings, ["turtle"])
    finally:
        params(settings.root)
    said = causes(job, before)
    assert said == [
        "class images: count 3 -> 5",
        "seed 0 -> 1",
        "stage 1: prior_weight 1 -> 2",
        "stage 1: class_images 3 -> 5",
    ]


def test_none_are_refused_with_the_rest_that_is_wrong(settings):
    params(settings.root, unet={"class_images": 0}, sampling={"guidance_scale": 0.5})
    try:
        with pytest.raises(InputError) as caught:
            plan_jobs(settings, ["turtle"])
    finally:
        params(settings.root)
    said = "\n".join(caught.value.problems)
    assert "unet.class_images = 0: prior preservation needs some" in said and "sampling.guidance_scale" in said


def test_lineage_leads_to_them_and_verification_reads_every_byte(settings, trained, tmp_path):
    store = open_store(settings)
    with open_index(settings, store) as index:
        chain = read_chain(store, index, find_head(settings, store, index, VersionReference.parse("turtle")))
    assert [link.stage for link in chain.links] == ["prepare", "class_images", "train-1-unet", "evaluate", "gallery"]
    lineage = document(chain, [])
    assert lineage["class_images"]["parameters"]["prompt"] == "a photo of a turtle"
    shown = [str(part) for branch in lineage_tree(lineage).children for part in branch.label.renderables]
    assert any('3 pictures of "a photo of a turtle" by the base, seed 0' in line for line in shown)
    write_page(tmp_path / "page.html", store, chain, lineage)
    assert (tmp_path / "page.html").read_text().count('alt="class image') == DRAWN

    def faults() -> list[str]:
        return [check.what for check in verify(settings, store, chain).of("fault") if "class_images" in check.what]

    assert faults() == []
    record = chain.manifests["class_images"].files["class_images/01.png"]
    path = Path(store.content_address(record.sha256))
    content = path.read_bytes()
    path.chmod(0o644)
    try:
        path.write_bytes(content[:-1] + b"?")
        assert [fault.split(": ")[-1] for fault in faults()] == ["class_images/01.png"]
    finally:
        path.write_bytes(content)


def test_a_registered_version_names_them_and_keeps_them(settings, trained, monkeypatch):
    key, job = trained.manifests["class_images"].key, trained.job
    version = register(settings, job.concept, trained.manifests)
    tags = connect(settings).get_model_version(version.name, str(version.version)).tags
    assert tags[f"{TAGS}stage.class_images"] == key
    now = Store.now
    monkeypatch.setattr(Store, "now", lambda self: now(self) + 30 * DAY)
    last = ("train-1-unet", trained.manifests["train-1-unet"].key)  # what was made from them, and nothing else
    for registered, goes in (({last}, False), (set(), True)):
        _, verdict = clear_store(open_store(settings), needs(registered), dry_run=True)
        assert (("class_images", key) in {(gone.stage, gone.key) for gone in verdict.artefacts}) == goes


def needs(registered: set) -> Needs:
    nothing = frozenset()
    return Needs(
        promoted=nothing,
        registered=frozenset(registered),
        planned=nothing,
        registered_elsewhere=nothing,
        recorded=nothing,
        keep_seconds=DAY,
    )
