"""Telling others that something else serves now: the webhook of the settings, and an event on the Prefect server."""

import json
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from flows.output.webhook import post_summary
from flows.server.shared_server import server_client
from tasks.files.addresses import hide_credentials, without_credentials
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
    problems = (post_summary(settings, {"event": EVENT, **facts}), _post_event(settings, record, facts))
    if problem := "; ".join(filter(None, problems)):
        return problem
    place.create(path, json.dumps({"seal": record.seal}).encode())
    return None


def _facts(record: Promotion) -> dict[str, Any]:
    names = ("concept", "seq", "action", "version", "model", "production_version", "release", "reason", "by", "at")
    facts = {name: getattr(record, name) for name in names}
    return {**facts, "overridden": dict(record.overridden), "seal": record.seal}


def _post_event(settings: Settings, record: Promotion, facts: dict[str, Any]) -> str | None:
    """What went wrong, or None. `prefect.events.emit_event` would not say: it leaves sending to a thread."""
    if not settings.prefect_api_url:
        return None
    from httpx import HTTPError
    from prefect.events import Event
    from prefect.events.schemas.events import Resource

    resource = {"prefect.resource.id": f"{RESOURCE}.{record.concept}", "prefect.resource.name": record.concept}
    event = Event(
        event=EVENT, resource=Resource.model_validate(resource), payload=facts, id=uuid5(NAMESPACE_URL, record.seal)
    )
    try:
        with server_client(settings) as client:
            client.request("POST", "/events", json=[event.model_dump(mode="json")])
    except HTTPError as error:
        said = hide_credentials(str(error), settings.prefect_api_url)
        return f"the event was not sent: Prefect at {without_credentials(settings.prefect_api_url)}: {said}"
    return None
