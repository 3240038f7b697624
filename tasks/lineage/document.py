"""A chain as one JSON document of a stable form (docs/lineage.md): what the terminal, scripts and the page show."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tasks.concepts.concepts import NOT_STATED
from tasks.lineage.chain import Chain
from tasks.lineage.check_results import NOT_SIGNED, Verification
from tasks.production.ledger import Promotion
from tasks.registry.versions import model_name
from tasks.store.manifest import WHOLE_CODE, Manifest

SCHEMA = 2
_STATED = ("licence", "source", "consent")


def document(
    chain: Chain,
    promotions: Sequence[Promotion],
    verification: Verification | None = None,
    notes: Sequence[str] = (),
    adoptions: Sequence[Mapping[str, Any]] = (),
    attestations: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Everything that is known about a chain; of the concept's `promotions` those of this content.

    `adoptions` are those that it rests on (tasks/adoption/reliance.py), `attestations` those that speak of
    its artefacts (tasks/lineage/attestations.py).
    """
    head, manifests = chain.head, chain.manifests
    prepare, evaluation = manifests.get("prepare"), manifests.get("evaluate")
    version = None
    if head.version is not None:
        version = {
            "model": model_name(head.concept),
            "version": head.version,
            "aliases": list(head.aliases),
            "content": head.content,
        }
    return {
        "schema": SCHEMA,
        "concept": head.concept,
        "found_by": head.found_by,
        "notes": [*head.notes, *notes],
        "version": version,
        "revoked": _revoked(head.content, promotions),
        "promotions": [asdict(record) for record in promotions if record.content == head.content],
        "evaluation": evaluation and _stage(evaluation) | {"scores": chain.scores},
        "stages": [_stage(manifest) for manifest in reversed(chain.trainings)],
        "base": chain.base and dict(chain.base),
        "evaluator": evaluation and evaluation.evaluator and dict(evaluation.evaluator),
        "identity_model": evaluation and evaluation.identity_model and dict(evaluation.identity_model),
        "prepared": prepare and _stage(prepare),
        "class_images": _stage(manifests["class_images"]) if "class_images" in manifests else None,
        "image_set": prepare
        and {
            "digest": chain.image_set,
            "state": prepare.labels.get("image_set_state"),
            "git_commit": prepare.labels.get("image_set_commit") or None,
        },
        "images": [_image(image, chain.stated) for image in chain.images],
        "gallery": _stage(manifests["gallery"]) if "gallery" in manifests else None,
        "adoptions": [dict(adoption) for adoption in adoptions],
        "attestations": [dict(attestation) for attestation in attestations],
        "signatures": signatures_in_words(chain),
        "problems": list(chain.problems),
        "verification": verification.to_json() if verification else None,
    }


def signatures_in_words(chain: Chain) -> str:
    """Which keys the manifests name as their makers; whether the signatures hold, a verification says."""
    manifests = chain.manifests.values()
    keys = [str(manifest.signature.get("key")) for manifest in manifests if manifest.signature]
    if not keys:
        return NOT_SIGNED
    by = f"signed by key {', '.join(dict.fromkeys(keys))}"
    rest = len(chain.manifests) - len(keys)
    return f"{by}; {rest} of {len(chain.manifests)} stages are {NOT_SIGNED}" if rest else by


def _revoked(content: str | None, promotions: Sequence[Promotion]) -> dict[str, Any] | None:
    for record in promotions:
        if record.action == "revoke" and content in record.withdraws:
            return {"seq": record.seq, "at": record.at, "by": record.by, "reason": record.reason}
    return None


def _stage(manifest: Manifest) -> dict[str, Any]:
    return {
        "stage": manifest.stage,
        "key": manifest.key,
        "digest": manifest.digest(),
        "created": manifest.created,
        "wall_seconds": manifest.wall_seconds,
        "device": manifest.device,
        "numeric_policy": dict(manifest.numeric_policy),
        "seed": manifest.seed,
        "parameters": dict(manifest.parameters),
        "metrics": dict(manifest.metrics),
        "code_digest": manifest.code_digest,
        "code": {name: digest for name, digest in manifest.code.items() if name != WHOLE_CODE},
        "packages": dict(manifest.installed or manifest.packages),
        "made_by": manifest.made_by and dict(manifest.made_by),
        "git": manifest.git and dict(manifest.git),
        "labels": dict(manifest.labels),
        "inputs": [asdict(entry) for entry in manifest.inputs],
        "files": {name: asdict(record) for name, record in manifest.files.items()},
    }


def _image(image: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    return dict(image) | {name: stated.get(name, NOT_STATED) for name in _STATED}
