"""Automations that `conceptbooth deploy` makes on the server: for runs that died, and nights that did not go well."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flows.workers.deployments import Deployment
from flows.workers.worker import HEARTBEAT_SECONDS
from tasks.project.settings import Settings

if TYPE_CHECKING:
    from prefect.automations import AutomationCore
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

WATCH = "conceptbooth: a run that says nothing any more has crashed"
FAILED, LATE, MISSED = (f"conceptbooth: a night {what}" for what in ("failed", "is late", "was missed"))
SILENT_SECONDS = 4 * HEARTBEAT_SECONDS
_GRACE = timedelta(hours=2)
"""A night counts as missed when none has begun in the longest time between two, and this."""
_BLOCK = "conceptbooth-notices"


def make_watch(client: "SyncPrefectClient", deployments: Sequence["DeploymentResponse"]) -> None:
    """Have the server call a run crashed that sends no heartbeats any more: nobody else notices a machine that died.

    Only runs of these deployments; others on the server may have heartbeats of another pace.
    """
    from prefect.automations import AutomationCore
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    heartbeat, ends = "prefect.flow-run.heartbeat", ("Completed", "Failed", "Cancelled", "Crashed")
    automation = AutomationCore(
        name=WATCH,
        description="Made by `conceptbooth deploy`.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification(
                {"prefect.resource.id": [f"prefect.deployment.{deployment.id}" for deployment in deployments]}
            ),
            for_each={"prefect.resource.id"},
            after={heartbeat},
            expect={heartbeat, *(f"prefect.flow-run.{end}" for end in ends)},
            threshold=1,
            within=timedelta(seconds=SILENT_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name=None,
                force=False,
                message=f"no sign of life for {SILENT_SECONDS} s: its machine or process has died",
            )
        ],
    )
    _put(client, automation)


def _same(one: "AutomationCore", other: "AutomationCore") -> bool:
    fields = set(type(other).model_fields)
    return one.model_dump(include=fields) == other.model_dump(include=fields)


def make_night_watches(
    client: "SyncPrefectClient",
    settings: Settings,
    deployments: Sequence[Deployment],
    present: Sequence["DeploymentResponse"],
) -> list[str]:
    """Automations for a night that failed, is late, or did not begin at all; their names.

    They send a notice to the setting `notify_url`. Without it they rest, and whoever gives them another action on
    Prefect's pages keeps it.
    """
    from prefect.automations import AutomationCore
    from prefect.events.actions import DoNothing, SendNotification
    from prefect.events.schemas.automations import EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    nights = [pair for pair in zip(deployments, present, strict=True) if pair[0].longest_gap]
    if not nights:
        return []
    receiver = _receiver(settings)
    runs = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})
    ours = ResourceSpecification({"prefect.resource.id": [f"prefect.deployment.{found.id}" for _, found in nights]})
    gap = max(deployment.longest_gap or timedelta() for deployment, _ in nights) + _GRACE

    def event(*states: str) -> set[str]:
        return {f"prefect.flow-run.{state}" for state in states}

    def at_once(*states: str) -> EventTrigger:
        return EventTrigger(
            posture=Posture.Reactive,
            match=runs,
            match_related=ours,
            expect=event(*states),
            threshold=1,
            within=timedelta(0),
        )

    missed = EventTrigger(
        posture=Posture.Proactive,
        match=runs,
        match_related=ours,
        expect=event("Running"),
        threshold=1,
        within=gap,
    )
    watches = {
        FAILED: (at_once("Failed", "Crashed"), "failed; its page says why"),
        LATE: (at_once("Late"), "is late: is `conceptbooth worker --cpu` running?"),
        MISSED: (missed, f"has not begun for {gap}: is its schedule paused?"),
    }
    for name, (when, said) in watches.items():
        action: Any = DoNothing()
        if receiver is not None:
            action = SendNotification(block_document_id=receiver, subject=name, body=f"The night {said}")
        _put(
            client,
            AutomationCore(
                name=name,
                description="Made by `conceptbooth deploy`.",
                enabled=receiver is not None,
                trigger=when,
                actions=[action],
            ),
            as_found=receiver is None,
        )
    return list(watches)


def _receiver(settings: Settings) -> Any:
    """The block by which the server reaches `notify_url`; None where nobody wants to know. It is kept encrypted."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.settings import temporary_settings

    url, token = settings.notify_url.get_secret_value(), settings.notify_token.get_secret_value()
    if not url:
        return None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    block = CustomWebhookNotificationBlock.model_validate(
        {
            "name": _BLOCK,
            "url": "{{notify_url}}",
            "secrets": {"notify_url": url},
            "headers": headers,
            "json_data": {"text": "{{subject}}: {{body}}"},
        }
    )
    with temporary_settings({"api.url": settings.prefect_api_url}):
        return block.save(_BLOCK, overwrite=True)


def _put(client: "SyncPrefectClient", automation: "AutomationCore", *, as_found: bool = False) -> None:
    """Have it on the server; with `as_found` one that is there stays as people have made it."""
    present = client.read_automations_by_name(automation.name)
    if not present:
        client.create_automation(automation)
    for found in present:
        if not as_found and not _same(found, automation):  # an update would forget whom it has been watching
            client.update_automation(found.id, automation)
