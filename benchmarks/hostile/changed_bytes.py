"""60 random and 100 aimed changes of a store's bytes: each is noticed, and the file named.

The store is that of commit 29f5cd8 which the tests keep (two trainings, promoted, rolled back, a takedown), brought up
to date with `upgrade` and two keys. A change flips a bit, cuts the file, or appends to it. Random ones are in any file;
aimed ones in the records, of which at that commit 41 of 100 (and 3 of the random 60) went unnoticed. What looks is
`lineage --verify` of both versions, `verify-release`, and what doctor reads.
"""

import random
import tempfile
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

from benchmarks.hostile.parts import Tried
from model.errors import InputError, WorkFailed
from tasks.lineage.check_results import CheckResult
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.registry.reference import VersionReference
from tasks.signing.keys import public_key_of
from tasks.store.store import open_store
from tasks.upkeep.upgrade import upgrade
from tasks.verification.chain import verify_version
from tasks.verification.records import examine_records
from tasks.verification.releases import check_place
from tests.old_site_project import CONCEPT, unpack_old_site
from tests.tasks.keys import write_key

RANDOM, AIMED = 60, 100
_RECORDS = ("concepts", "takedowns", "registries", "promotions", "upgrades")
Change = Callable[[bytes, random.Random], bytes]


def attempts() -> Iterator[Tried]:
    """Change, look, put back."""
    with tempfile.TemporaryDirectory() as folder:
        settings = _site(Path(folder))
        store = Path(str(settings.store))
        files = sorted(p for p in store.rglob("*") if p.is_file() and p.relative_to(store).parts[0] not in ("locks",))
        records = [path for path in files if path.relative_to(store).parts[0] in _RECORDS]
        assert not _noticed(settings), "the store is not whole before anything was changed"
        dice = random.Random(18)
        for number in range(RANDOM):
            yield _tried(settings, dice.choice(files), dice.choice(list(CHANGES)), dice, f"random {number + 1}")
        aimed = ((path, change) for change in CHANGES for path in records)
        for number, (path, change) in enumerate(islice(cycle(list(aimed)), AIMED)):
            yield _tried(settings, path, change, dice, f"aimed {number + 1}")


def _site(folder: Path) -> Settings:
    settings = unpack_old_site(folder).model_copy(
        update={"signing_key": write_key(folder / "desk.pem"), "training_key": write_key(folder / "worker.pem")}
    )
    upgrade(settings, open_store(settings), open_production(settings))
    return settings


def _flipped(content: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :]


def _cut(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(len(content))]


def _appended(content: bytes, dice: random.Random) -> bytes:
    return content + dice.randbytes(dice.randrange(1, 64))


CHANGES: dict[str, Change] = {"flipped": _flipped, "cut": _cut, "appended": _appended}


def _tried(settings: Settings, path: Path, change: str, dice: random.Random, which: str) -> Tried:
    content, name = path.read_bytes(), path.relative_to(Path(str(settings.store))).as_posix()
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(CHANGES[change](content, dice))
    try:
        found = _noticed(settings)
    finally:
        path.write_bytes(content)
        path.chmod(mode)
    return Tried(what=f"{which}: {name} {change}", held=bool(found), said=found or "nothing noticed it")


def _noticed(settings: Settings) -> str:
    """The first fault that is found, in words; empty where all seems well."""
    store = open_store(settings)
    try:
        for path, said in examine_records(store).problems.items():
            return f"{path}: {said}"
        for fault in check_place(open_production(settings), public_key_of(settings)).of("fault"):
            return _words(fault)
        for version in (1, 2):
            for fault in verify_version(settings, store, VersionReference(concept=CONCEPT, version=version)).of(
                "fault"
            ):
                return _words(fault)
    except (InputError, WorkFailed) as error:
        return str(error)
    return ""


def _words(fault: CheckResult) -> str:
    return f"{fault.what}: {fault.said}"
