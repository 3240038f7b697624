"""Routes of what everybody sees: all concepts, one of them with its files, and how far its training is."""

import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from flows.booth.booth import Booth
from flows.booth.guard import GALLERY_POLICY
from flows.concepts.gallery import index_page
from flows.training.verdict import judge_of
from tasks.booth.concept_view import newest_picture, view_images, view_version
from tasks.booth.orders import most_pictures
from tasks.booth.words import words_at_hand
from tasks.concepts.concepts import IMAGES_FOLDER, check_name
from tasks.execution.reporting import Silence
from tasks.figures.gallery_index import index_policy
from tasks.registry.all_versions import KnownVersion
from tasks.registry.reference import CANDIDATE
from tasks.registry.versions import EVALUATION_TAG, REVOKED_TAG
from tasks.store.artefacts import PAGE
from tasks.store.manifest import Manifest

_PICTURES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/avif", "image/bmp", "image/tiff")
_NEVER_CHANGES = {"cache-control": "private, max-age=31536000, immutable"}
"""What is called by its hash, or belongs to a version."""


def router_of(booth: Booth) -> APIRouter:
    """The routes, for one booth."""
    router = APIRouter()

    @router.get("/")
    def overview() -> HTMLResponse:
        return HTMLResponse(booth.pages.overview(booth.overview(), booth.trainings.all()))

    @router.get("/c/{name}")
    def concept(name: str, version: int | None = None) -> HTMLResponse:
        check_name(name)
        card, versions = booth.card(name), booth.versions(name)
        shown = _version(versions, version)
        page = booth.pages.concept(
            card,
            _choices(versions),
            view_version(booth.store, shown, judge_of(booth.settings)) if shown else None,
            view_images(booth.settings, booth.store, name, versions),
            words_at_hand(booth.settings),
            most_pictures(booth.settings),
        )
        return HTMLResponse(page)

    @router.get("/c/{name}/newest/{sha256}.png")
    def newest(name: str, sha256: str) -> FileResponse:
        # The newest picture is of a version, or of a training that was registered nowhere else
        for version in reversed(booth.versions(name)):
            manifest = _manifest(booth, "evaluate", version)
            if path := newest_picture(booth.store, manifest, sha256) if manifest else None:
                return FileResponse(path, media_type="image/png", headers=_NEVER_CHANGES)
        raise HTTPException(404)

    @router.get("/c/{name}/first-image")
    def first_image(name: str) -> FileResponse:
        check_name(name)
        card = booth.card(name)
        kind = mimetypes.guess_type(card.image or "")[0]
        if card.image is None or kind not in _PICTURES:
            raise HTTPException(404)
        return FileResponse(booth.settings.concepts_dir / name / IMAGES_FOLDER / card.image, media_type=kind)

    @router.get("/c/{name}/{number}/evaluate/{file:path}")
    def evaluated(name: str, number: int, file: str) -> FileResponse:
        manifest = _manifest(booth, "evaluate", _exact(booth.versions(name), number))
        if manifest is None or file not in manifest.files or not file.endswith(".png"):
            raise HTTPException(404)
        return FileResponse(booth.store.file(manifest, file), media_type="image/png", headers=_NEVER_CHANGES)

    @router.get("/c/{name}/{number}/gallery")
    def gallery(name: str, number: int) -> Response:
        if booth.gallery_page(name, number).is_file():  # with its verdict, and with links
            return RedirectResponse(f"/gallery/{name}/v{number}/{PAGE}")
        manifest = _manifest(booth, "gallery", _exact(booth.versions(name), number))
        if manifest is None or PAGE not in manifest.files:
            raise HTTPException(404)
        return _gallery(booth.store.file(manifest, PAGE))

    @router.get(f"/gallery/{PAGE}")
    def index() -> HTMLResponse:
        # As `gallery --index` writes it, and as things are now
        page, _ = index_page(booth.settings, booth.settings.gallery_dir / PAGE, Silence())
        return HTMLResponse(page, headers={"content-security-policy": index_policy()})

    @router.get(f"/gallery/{{name}}/{PAGE}")
    def newest_gallery(name: str) -> FileResponse:
        return _gallery(booth.gallery_page(name, None))

    @router.get(f"/gallery/{{name}}/v{{number:int}}/{PAGE}")
    def framed_gallery(name: str, number: int) -> FileResponse:
        return _gallery(booth.gallery_page(name, number))

    @router.get("/c/{name}/images/{sha256}")
    def image(name: str, sha256: str) -> FileResponse:
        check_name(name)
        found = view_images(booth.settings, booth.store, name, booth.versions(name)).files.get(sha256)
        if found is None:
            raise HTTPException(404)
        path = found if isinstance(found, Path) else booth.store.file(*found)
        kind = mimetypes.guess_type(path.name)[0] if isinstance(found, Path) else "image/png"
        if kind not in _PICTURES:
            raise HTTPException(404)
        return FileResponse(path, media_type=kind, headers=_NEVER_CHANGES)

    @router.get("/c/{name}/training")
    def training(name: str) -> dict[str, Any]:
        check_name(name)
        note = booth.trainings.of(name)
        if note is None:
            return {"state": "none"}
        booth.notice(note)
        told = asdict(note)
        del told["process"]
        return told

    @router.post("/c/{name}/training")
    def train(name: str) -> dict[str, Any]:
        if booth.read_only:
            raise HTTPException(403, "this page is read-only: nothing is trained here")
        check_name(name)
        booth.card(name)
        return {"state": booth.trainings.start(name).state}

    return router


def _gallery(page: Path) -> FileResponse:
    if not page.is_file():
        raise HTTPException(404)
    told = {"content-security-policy": GALLERY_POLICY}
    return FileResponse(page, media_type="text/html; charset=utf-8", headers=told)


def _manifest(booth: Booth, stage: str, version: KnownVersion | None) -> Manifest | None:
    key = version.stages.get(stage) if version else None
    return booth.store.read(stage, key) if key else None


def _version(versions: Sequence[KnownVersion], number: int | None) -> KnownVersion | None:
    """The version that a page shows: the one that is asked for, else the candidate, else the newest."""
    if number is not None:
        found = _exact(versions, number)
        if found is None:
            raise HTTPException(404, f"there is no version {number}")
        return found
    ours = [version for version in versions if EVALUATION_TAG in version.tags]
    return next((v for v in ours if CANDIDATE in v.aliases), ours[-1] if ours else None)


def _exact(versions: Sequence[KnownVersion], number: int) -> KnownVersion | None:
    return next((version for version in versions if version.version == number), None)


def _choices(versions: Sequence[KnownVersion]) -> list[Mapping[str, Any]]:
    """What the page offers to draw with: aliases first, then every version that was not revoked, newest first."""
    usable = [version for version in versions if REVOKED_TAG not in version.tags]
    aliases = sorted({alias for version in usable for alias in version.aliases}, key=lambda a: (a != CANDIDATE, a))
    named = [
        {"value": alias, "label": f"{alias} (version {v.version})", "number": None, "chosen": alias == CANDIDATE}
        for alias in aliases
        for v in usable
        if alias in v.aliases
    ]
    numbered = [
        {"value": str(v.version), "label": f"version {v.version}", "number": v.version, "chosen": False}
        for v in reversed(usable)
    ]
    return [*named, *numbered]
