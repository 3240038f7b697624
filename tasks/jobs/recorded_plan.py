"""A stage's plan as its manifest tells it: what its key has to come from."""

from collections.abc import Mapping

from tasks.jobs.keys import StagePlan
from tasks.store.manifest import MODELS, Manifest


def plan_of(manifest: Manifest) -> StagePlan:
    """Everything that went into the key; where the manifest is as it was, the plan's key is the manifest's.

    Manifests from before they described the evaluator are read as if that lay in a folder.
    """
    models: dict[str, Mapping[str, str]] = {}
    for entry in manifest.inputs:
        if entry.kind in MODELS:
            described = manifest.models.get(entry.kind)
            if described is None or described["revision"] is None:
                models[entry.kind] = {"digest": entry.digest}
            else:
                models[entry.kind] = {"id": described["reference"], "revision": described["revision"]}
    return StagePlan(
        stage=manifest.stage,
        reads={entry.kind: entry.key for entry in manifest.inputs if entry.kind not in MODELS},
        parameters=manifest.parameters,
        code=manifest.code,
        packages=manifest.packages,
        models=models,
        seed=manifest.seed,
        numeric_policy=manifest.numeric_policy,
    )
