"""Versions from before the list of their package's files was registered: it is put on record as it is now."""

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.project.settings import Settings
from tasks.registry.package import listing_digest
from tasks.registry.version_records import remember_version
from tasks.registry.versions import PACKAGE_TAG, PREFIX, TAGS, WEIGHTS_SHA256_TAG, model_name, version_damage, versions
from tasks.store.store import Store
from tasks.tracking.address import is_unused
from tasks.tracking.client import connect, sorted_failures


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What became of one version, or would."""

    version: str
    """concept.owl version 1"""
    problem: str | None
    """Why its list is not put on record; None where it is."""


def list_packages(settings: Settings, store: Store, *, dry_run: bool) -> Iterator[Listed]:
    """Give each version without one the digest of its package's list (`PACKAGE_TAG`), where the package fits its list.

    From then on a changed list is seen, and not only files that differ from it. Raises what `connect` raises,
    StoreFailed.
    """
    if is_unused(settings):
        return
    client = connect(settings)
    with sorted_failures(settings):
        models = client.search_registered_models(f"name LIKE '{PREFIX}%'", max_results=1000)
        for concept in sorted(model.name.removeprefix(PREFIX) for model in models):
            for version in versions(client, concept):
                if PACKAGE_TAG in version.tags or WEIGHTS_SHA256_TAG not in version.tags:
                    continue
                name = f"{model_name(concept)} version {version.version}"
                problem = version_damage(client, settings, version)
                if problem is None and not dry_run:
                    place = client.get_model_version_download_uri(version.name, version.version)
                    listed = listing_digest(client, place)
                    client.set_model_version_tag(version.name, str(version.version), PACKAGE_TAG, listed)
                    told = {key: value for key, value in version.tags.items() if key.startswith(TAGS)}
                    remember_version(store, settings, version, told | {PACKAGE_TAG: listed})
                yield Listed(version=name, problem=problem)
