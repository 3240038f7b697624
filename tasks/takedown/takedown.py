"""Taking an image down: out of production, off the registered versions, out of the sets; on record from the first step.

    record -> ledger and production -> tags and aliases of the versions -> image sets -> record

Every step can be done again: a process that is killed anywhere leaves a record that says so, and the same command
carries on.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tasks.concepts.concepts import Concept, concept_names, load_concept
from tasks.concepts.image_edits import put_there, writing
from tasks.concepts.image_origins import image_origins, write_origins
from tasks.concepts.image_sets import record_file
from tasks.concepts.takedown_memory import takedown_doubts
from tasks.concepts.takedown_records import Takedown, begin_takedown, finish_takedown
from tasks.dvc.command import dvc_add
from tasks.files.names import path_inside
from tasks.production.ledger import Promotion, read_ledger
from tasks.project.settings import Settings
from tasks.promotion.promotion import Tell, user_and_host
from tasks.promotion.revocation import mark_versions, revoke
from tasks.signing.keys import Signer, signer_of
from tasks.store.blobs import Blobs
from tasks.store.store import Store
from tasks.takedown.plan import TakedownPlan


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a takedown has changed."""

    takedown: Takedown
    ledgers: tuple[Promotion, ...]
    """The newest record of each ledger that revokes something because of it."""
    marked: int
    """How many registered versions are revoked."""


def take_down(
    settings: Settings, store: Store, place: Blobs, plan: TakedownPlan, *, reason: str, tell: Tell = lambda _: None
) -> Done:
    """Do what the plan says, and what an interrupted takedown of the same image has left to do.

    Raises:
        Overtaken: a promotion was recorded meanwhile.
        WorkFailed, InputError: a step failed; what was done stays, and the same command does the rest.
    """
    signer = signer_of(settings, "releases")
    takedown = plan.unfinished or _begun(store, plan, reason, signer)
    for doubt in takedown_doubts(settings, store):  # where all is well, it is remembered from here on
        tell(doubt)
    sets = tuple(dict.fromkeys((*takedown.sets, *(c.member for c in plan.sets if c.obstacle is None))))
    revoked = {
        concept: tuple(sorted({*takedown.revoked.get(concept, ()), *plan.revoked.get(concept, ())}))
        for concept in sorted({*takedown.revoked, *plan.revoked})
    }
    said = f"an image was taken down (takedown {takedown.number}): {takedown.reason}"
    ledgers: list[Promotion] = []
    marked = 0
    for concept, contents in revoked.items():
        done = revoke(settings, place, concept, contents, reason=said, tell=tell)
        ledgers += [done.record] if done else []
        marked += len(mark_versions(settings, read_ledger(place, concept)))
    for name in sorted({member.concept for member in sets}.intersection(concept_names(settings))):
        tell(f"taking it out of the image set of '{name}'")
        leave_out(settings, load_concept(settings, name), {member.file for member in sets if member.concept == name})
    done_at = datetime.now(UTC).isoformat(timespec="seconds")
    takedown = replace(takedown, sets=sets, revoked=revoked, images=plan.images, finished=done_at)
    finish_takedown(store, takedown, signer)
    return Done(takedown=takedown, ledgers=tuple(ledgers), marked=marked)


def leave_out(settings: Settings, concept: Concept, files: Collection[str]) -> None:
    """Take files out of a concept's image set: its folder, DVC's record of it, images.yaml; concept.yaml stays.

    images.yaml goes last: as long as it names a file, an interrupted call can be told from one that was never made.
    Where the folder is missing, the other images are put there.

    Raises:
        ImproperName: a name leads out of the image folder; nothing was removed.
        StoreFailed, WorkFailed: the images are not to be had, or the folder or DVC's record cannot be written.
    """
    with writing(settings, concept):
        if not concept.images.is_dir():
            put_there(settings, concept)
        for path in [path_inside(concept.images, file, follow=False) for file in files]:
            path.unlink(missing_ok=True)
        if record_file(settings, concept):
            dvc_add(settings, concept.images)
        origins = image_origins(concept)
        if not {origin.file for origin in origins}.isdisjoint(files):
            write_origins(concept.folder, [origin for origin in origins if origin.file not in files])


def _begun(store: Store, plan: TakedownPlan, reason: str, signer: Signer | None) -> Takedown:
    def make(number: int) -> Takedown:
        return Takedown(
            number=number,
            sha256=plan.sha256,
            images=plan.images,
            sets=tuple(change.member for change in plan.sets if change.obstacle is None),
            revoked=plan.revoked,
            found=plan.to_json(),
            reason=reason,
            by=user_and_host(),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    return begin_takedown(store, make, signer)
