"""The scores in an evaluation's artefact, checked against their hash."""

import json
from typing import Any

from tasks.store.artefacts import SCORES
from tasks.store.manifest import Manifest
from tasks.store.store import Store


def load_scores(store: Store, evaluation: Manifest) -> dict[str, Any]:
    """What an evaluation's `scores.json` holds. Raises Damaged, StoreFailed."""
    return dict(json.loads(store.file(evaluation, SCORES).read_bytes()))
