"""Telling others that something else serves now: the webhook of the settings, and an event on the Prefect server."""

import json
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from flows.output.webhook import post_summary
from tasks.production.ledger import Promotion
from tasks.project.settings import Settings
from tasks.store.blobs import Blobs

EVENT = "conceptbooth.production"
RESOURCE = "conceptbooth.concept"


def notify_of_change(settings: Settings, place: Blobs, record: Promotion) -> str | None:
    """Tell once about a record of the ledger; what went wrong, or None. A failure is made up for by the next call.

    Who is killed between telling and noting it tells twice; the record's seal, and the event's id, are the same then.
    Raises StoreFailed.
    """
    path = f"announced/{record.concept}/{record.seq:06}.json"
    if not (settings.notify_url.get_secret_value() or settings.prefect_api_url) or place.read(path):
        return None
    facts = _facts(record)
    problem = post_summary(settings, {"event": EVENT, **facts})
    if settings.prefect_api_url:
        _emit(record, facts)
    if problem is None:
        place.create(path, json.dumps({"seal": record.seal}).encode())
    return problem


def _facts(record: Promotion) -> dict[str, Any]:
    names = ("concept", "seq", "action", "version", "model", "production_version", "release", "reason", "by", "at")
    facts = {name: getattr(record, name) for name in names}
    return {**facts, "overridden": dict(record.overridden), "seal": record.seal}


def _emit(record: Promotion, facts: dict[str, Any]) -> None:
    from prefect.events import emit_event
    from prefect.events.worker import EventsWorker

    from flows.server.drain import drain_quietly

    resource = {"prefect.resource.id": f"{RESOURCE}.{record.concept}", "prefect.resource.name": record.concept}
    emit_event(event=EVENT, resource=resource, payload=facts, id=uuid5(NAMESPACE_URL, record.seal))
    drain_quietly(EventsWorker, 10)
