"""When two trainings of one concept agree: the same bits on one device, within margins on two; never by overlap."""

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from tasks.adoption.proof import MARGINS, ConceptProof, compare_trainings, score_differences
from tasks.store.folder_blobs import FolderBlobs
from tasks.store.manifest import Facts
from tasks.store.store import Store

KEYS = {"prepare": "p2", "train-1-unet": "t2", "evaluate": "e2"}


def scores(*, shift: float = 0.0, spread: float = 0.0) -> dict:
    """The scores of 4 prompts with 4 pictures each; each picture's is off by `shift`, and by `spread` up or down."""
    values = [
        [0.5 + shift + (spread if (prompt + image) % 2 else -spread) for image in range(4)] for prompt in range(4)
    ]
    whole = {name: {"mean": 0.5, "low": None, "high": None} for name in ("clip_i", "clip_t")}  # nobody looks at it here
    return whole | {"prompts": [{"pictures": {"clip_i": row, "clip_t": [v - 0.2 for v in row]}} for row in values]}


def made(root: Path, device: str, *, grey: int = 100, weights: bytes = b"w", document: dict | None = None):
    """A store with a training of three stages."""
    store, manifests = Store(FolderBlobs(root / "store")), {}
    for stage in KEYS:
        folder = root / stage
        folder.mkdir(parents=True)
        if stage == "prepare":
            Image.new("RGB", (8, 8), (grey,) * 3).save(folder / "00.png")
        elif stage == "evaluate":
            (folder / "scores.json").write_text(json.dumps(document or scores()))
        else:
            (folder / "concept.bin").write_bytes(weights)
        facts = Facts(
            stage=stage,
            key=f"{stage[0]}1",
            inputs=(),
            parameters={},
            code={},
            packages={},
            seed=0,
            numeric_policy={},
            device=device,
            wall_seconds=1.0,
            labels={"method": "dreambooth"},
        )
        manifests[stage] = store.publish(folder, facts)
    return store, manifests


def compared(tmp_path: Path, device: str, **changes) -> ConceptProof:
    return compare_trainings("owl", KEYS, made(tmp_path / "old", "cpu a"), made(tmp_path / "new", device, **changes))


def test_the_same_bits_agree_on_any_device(tmp_path):
    proof = compared(tmp_path, "cpu b")
    assert (proof.agreement, proof.differences, proof.scores) == ("bit for bit", (), {})
    assert [(stage.key, stage.new_key) for stage in proof.stages] == [("p1", "p2"), ("t1", "t2"), ("e1", "e2")]
    assert json.loads(json.dumps(proof.to_json()))["old_device"] == "cpu a"


def test_on_the_same_device_one_bit_is_a_difference_however_close_the_scores(tmp_path):
    proof = compared(tmp_path, "cpu a", weights=b"v")
    assert proof.agreement == "none"
    assert proof.differences[0] == "train-1-unet: 1 of 1 files differ: concept.bin (1 and 1 bytes)"
    assert "clip_i: difference +0.0000" in proof.differences[1]


def test_on_another_device_scores_within_their_margins_agree(tmp_path):
    proof = compared(tmp_path, "cuda", weights=b"v", document=scores(shift=0.001, spread=0.001))
    assert (proof.agreement, proof.differences) == ("within margins", ())
    assert 0 <= proof.scores["clip_i"]["low"] < proof.scores["clip_i"]["high"] < MARGINS["clip_i"]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (scores(shift=0.02), "a shift beyond the margin"),
        (scores(spread=0.2), "no difference on average, and an interval wider than the margin: nothing is shown"),
        (scores() | {"prompts": [{}] * 4}, "no scores picture by picture"),
    ],
)
def test_on_another_device_what_is_not_shown_to_be_within_is_a_difference(tmp_path, document, why):
    proof = compared(tmp_path, "cuda", document=document)
    assert proof.agreement == "none" and proof.differences, why


def test_prepared_images_are_the_same_on_every_device(tmp_path):
    proof = compared(tmp_path, "cuda", grey=101)
    assert proof.differences[0] == "prepare: 1 of 1 files differ: 00.png (100.0% of the pixels, by at most 1 of 255)"


def test_files_that_come_or_go_are_differences(tmp_path):
    old, new = made(tmp_path / "old", "cpu a"), made(tmp_path / "new", "cpu a")
    manifests = {**new[1], "train-1-unet": dataclasses.replace(new[1]["train-1-unet"], files={})}
    proof = compare_trainings("owl", KEYS, old, (new[0], manifests))
    assert "concept.bin is not made any more" in proof.differences[0]


def test_a_single_picture_shows_nothing():
    one = {"prompts": [{"pictures": {"clip_i": [0.5]}}]}
    assert score_differences(one, one) == {"clip_i": {"mean": 0.0}}


def test_every_margin_is_stated():
    assert set(MARGINS) == {"clip_i", "clip_t", "dino", "retrieval"}
