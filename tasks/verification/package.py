"""The files of a registered package, each hashed again and compared with its list."""

from collections.abc import Iterator
from pathlib import Path

from tasks.lineage.check_results import CheckResult, fault, good, unchecked
from tasks.registry.package_listing import LISTING, NoListing, package_problems, read_listing


def check_package(what: str, package: Path) -> Iterator[CheckResult]:
    """Each file of a package in a folder, hashed and compared with the list; what is not listed is a fault."""
    try:
        wanted = read_listing(package)
        problems = package_problems(package, wanted)
    except NoListing as error:
        yield fault(f"{what}: {LISTING}", str(error))
        return
    except OSError as error:
        yield unchecked(f"{what}: other files of its package", f"cannot be read: {error}")
        return
    for name, said in problems.items():
        yield fault(f"{what}: {name}", said)
    for name in sorted(wanted.keys() - problems.keys()):
        yield good(f"{what}: {name}", f"its sha256 is the one that {LISTING} names")
