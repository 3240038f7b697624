"""Where a released model comes from, as an in-toto statement with a predicate of SLSA provenance.

Forms: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.0/provenance.
All of it is in the manifests; nothing is added but the form, so that the same model gives the same statement.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.store.manifest import FileRecord, Manifest

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILDER = "pkg:generic/conceptbooth"


def provenance_statement(
    concept: str, content: str, manifests: Mapping[str, Manifest], package: Mapping[str, FileRecord]
) -> dict[str, Any]:
    """The statement about the files of a package, by path inside it, which the stages of `manifests` led to."""
    first, last = manifests["prepare"], manifests["evaluate"]
    stages = {stage: manifest for stage, manifest in manifests.items() if stage != "gallery"}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": record.sha256}} for name, record in sorted(package.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": f"{BUILDER}#train",
                "externalParameters": {
                    "concept": concept,
                    "parameters": {stage: dict(manifest.parameters) for stage, manifest in stages.items()},
                    "seed": last.seed,
                },
                "internalParameters": {
                    "numeric_policy": dict(last.numeric_policy),
                    "code": {stage: manifest.code_digest for stage, manifest in stages.items()},
                    "packages": {
                        name: version
                        for manifest in stages.values()
                        for name, version in (manifest.installed or manifest.packages).items()
                    },
                },
                "resolvedDependencies": list(_dependencies(stages)),
            },
            "runDetails": {
                "builder": {"id": BUILDER},
                "metadata": {"invocationId": content, "startedOn": first.created, "finishedOn": last.created},
                "byproducts": [
                    {"name": f"{stage}/{name}", "digest": {"sha256": record.sha256}}
                    for stage, manifest in manifests.items()
                    for name, record in sorted(manifest.files.items())
                ],
            },
        },
    }


def _dependencies(manifests: Mapping[str, Manifest]) -> Iterator[dict[str, Any]]:
    """What was read: the images, the files of the pretrained models, the project's commit."""
    for image in manifests["prepare"].images:
        yield {"name": f"image/{image['made_from']}", "digest": {"sha256": image["sha256"]}}
    seen: set[str] = set()
    for manifest in manifests.values():
        for kind, model in manifest.models.items():
            for name, sha256 in model.get("files", {}).items():
                if (path := f"{kind}/{model['reference']}/{name}") not in seen:
                    seen.add(path)
                    yield {"name": path, "digest": {"sha256": sha256}}
    for commit in sorted({manifest.git["commit"] for manifest in manifests.values() if manifest.git}):
        yield {"name": "project", "digest": {"gitCommit": commit}}
