"""A manifest's text: what is written reads back, and no byte of it can change unseen."""

import json

import pytest

from tasks.store.manifest import FileRecord, Input, Manifest

MANIFEST = Manifest(
    stage="prepare",
    key="a" * 64,
    inputs=(Input(kind="image_set", key="0" * 32 + ".dir", digest="0" * 32 + ".dir"),),
    parameters={"max_short_side": 64, "rate": 1e-05},
    code={"tasks.stages.prepare": "c0de"},
    packages={"pillow": "13.0.0"},
    seed=None,
    numeric_policy={},
    device="cpu",
    wall_seconds=0.5,
    stated={"licence": "MIT", "images": [{"sha256": "d" * 64, "original": "früher.jpg", "original_sha256": "e" * 64}]},
    images=(
        {
            "file": "images/00.png",
            "made_from": "00.png",
            "sha256": "d" * 64,
            "md5": "f" * 32,
            "size": 7,
            "fingerprint": "0",
        },
    ),
    files={"images/00.png": FileRecord(sha256="b" * 64, size=7)},
    created="2026-01-01T00:00:00+00:00",
)


def test_what_is_written_reads_back():
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_every_flipped_bit_is_noticed():
    content = MANIFEST.to_json().encode()
    for position in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[position] ^= 1 << bit
            with pytest.raises(ValueError):
                Manifest.from_json(bytes(changed).decode())


def test_a_manifest_from_before_there_were_seals_reads():
    content = json.loads(MANIFEST.to_json())
    for later in ("seal", "stated", "images", "evaluator"):
        del content[later]
    old = Manifest.from_json(json.dumps(content))
    assert (old.key, old.images, old.stated) == (MANIFEST.key, (), {})
