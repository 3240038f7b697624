"""The files of a registered package, each hashed again and compared with its list."""

import json
from collections.abc import Iterator
from pathlib import Path

from tasks.lineage.check_results import CheckResult, fault, good, unchecked
from tasks.registry.package_listing import BYTECODE, LISTING, MLFLOW_NOTE, hashes_of, is_mlflow_note, listing_text


def check_package(what: str, package: Path) -> Iterator[CheckResult]:
    """Each file of a package in a folder, hashed and compared with the list."""
    try:
        text = (package / LISTING).read_text(encoding="utf-8")
        there = hashes_of(package)
        wanted = {str(name): str(sha256) for name, sha256 in json.loads(text).items()}
        if text != listing_text(wanted):
            raise ValueError("not as it was written")
    except FileNotFoundError:
        yield unchecked(f"{what}: other files of its package", f"it has no list of them ({LISTING})")
        return
    except OSError as error:
        yield unchecked(f"{what}: other files of its package", f"cannot be read: {error}")
        return
    except (ValueError, AttributeError):
        yield fault(f"{what}: {LISTING}", "its bytes have changed: it is not the list that was written")
        return
    for name, sha256 in wanted.items():
        if name not in there:
            yield fault(f"{what}: {name}", "missing in its package")
        elif there[name] != sha256:
            yield fault(f"{what}: {name}", f"its sha256 is not the one that {LISTING} names")
        else:
            yield good(f"{what}: {name}", f"its sha256 is the one that {LISTING} names")
    for name in sorted(there.keys() - wanted.keys()):
        if BYTECODE in name.split("/"):
            said = "was left there by a Python that loaded the folder; promotion leaves it out, and it may be removed"
            yield unchecked(f"{what}: {name}", said)
        elif name == MLFLOW_NOTE and is_mlflow_note((package / name).read_bytes()):
            yield good(f"{what}: {name}", "says the registered name and version, and nothing else")
        else:
            yield fault(f"{what}: {name}", "is no part of the package, and whoever loads the folder may load it")
