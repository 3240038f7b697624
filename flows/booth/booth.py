"""One running booth: what its routes share."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from flows.booth.drawer import Drawer
from flows.booth.training_note import TrainingNote
from flows.booth.trainings import Trainings
from model.errors import InputError
from tasks.booth.overview import ConceptCard, Overview, read_overview
from tasks.booth.pages import Pages
from tasks.booth.visitors import sweep_visitors
from tasks.concepts.concepts import check_name
from tasks.project.params import load_params
from tasks.project.settings import Settings
from tasks.registry.all_versions import KnownVersion, registered_versions
from tasks.store.artefacts import PAGE
from tasks.store.store import Store, open_store

FRESH_SECONDS = 2.0
"""An overview of so long ago is shown as it is."""
USABLE_SECONDS = 60.0
"""One of so long ago is shown too, while the next is being read: of a thousand concepts that takes seconds."""


class Booth:
    """A project with its pages, its drawer and its trainings."""

    def __init__(self, settings: Settings, *, read_only: bool) -> None:
        self.settings, self.read_only = settings, read_only
        self.pages = Pages(project=settings.root.name, base=_base(settings), read_only=read_only)
        self.drawer, self.trainings = Drawer(settings), Trainings(settings)
        self.checking = threading.Lock()
        """Pictures that were brought are decoded by one visitor at a time: each may need a gigabyte."""
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="overview")
        self._overview: tuple[float, Overview] | None = None
        self._reading: Future[Overview] | None = None
        self._lock = threading.Lock()
        self._noticed: set[tuple[str, str]] = set()
        sweep_visitors(settings)
        self._read_soon()  # the first page need not wait for all of it

    @property
    def store(self) -> Store:
        """The project's store."""
        return open_store(self.settings)

    def overview(self) -> Overview:
        """All concepts, as they were a moment ago."""
        known = self._overview
        age = time.monotonic() - known[0] if known else float("inf")
        if known and age < FRESH_SECONDS:
            return known[1]
        reading = self._read_soon()
        return known[1] if known and age < USABLE_SECONDS else reading.result()

    def forget_overview(self) -> None:
        """Something has changed that the next page must show."""
        with self._lock:
            self._overview = self._reading = None

    def notice(self, training: TrainingNote) -> None:
        """A training that is over has changed the overview, once."""
        known = (training.concept, training.began)
        if not training.is_running and known not in self._noticed:
            self._noticed.add(known)
            self.forget_overview()

    def card(self, name: str) -> ConceptCard:
        """One concept as it is now. InputError where there is none."""
        card = self.overview().card(name)
        if card is None:
            self.forget_overview()
            card = self.overview().card(name)
        if card is None:
            raise InputError(f"concept '{name}': there is none in this project")
        return card

    def versions(self, name: str) -> list[KnownVersion]:
        """Its registered versions, oldest first. Raises RegistryUnknown."""
        return registered_versions(self.settings).get(name, [])

    def gallery_page(self, name: str, number: int | None) -> Path:
        """Where the page of a version's gallery lies, or the last training's. InputError for no concept's name."""
        check_name(name)
        folder = self.settings.gallery_dir / name
        return (folder if number is None else folder / f"v{number}") / PAGE

    def close(self) -> None:
        """Draw no more; trainings go on."""
        self.drawer.close()
        self._reader.shutdown(wait=False, cancel_futures=True)

    def _read_soon(self) -> "Future[Overview]":
        """The reading that goes on, or a new one."""
        with self._lock:
            if self._reading is None or self._reading.done():
                self._reading = self._reader.submit(self._read)
            return self._reading

    def _read(self) -> Overview:
        overview = read_overview(self.settings)
        self._overview = (time.monotonic(), overview)
        return overview


def _base(settings: Settings) -> str:
    try:
        return load_params(settings.params_file).base
    except InputError:
        return "a base that cannot be read"
