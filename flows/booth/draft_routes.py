"""Routes of a new concept: pictures are brought one by one, looked at as `add` looks at them, and added together."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from flows.booth.booth import Booth
from model.errors import InputError
from tasks.booth.draft_checks import Findings, add_draft, check_draft
from tasks.booth.visitors import MOST_FILE_BYTES, Visitor, place_for, remove_brought
from tasks.booth.words import words_at_hand
from tasks.project.base_limits import base_limits

Asked = Annotated[dict[str, Any], Body()]


def router_of(booth: Booth) -> APIRouter:
    """The routes, for one booth; of a read-only one they refuse."""
    router = APIRouter()

    @router.get("/new")
    def new() -> HTMLResponse:
        _refuse_read_only(booth)
        try:
            fewest = base_limits(booth.settings).min_pixels
        except InputError:
            fewest = None
        return HTMLResponse(booth.pages.new(words_at_hand(booth.settings), fewest))

    @router.post("/drafts")
    def begin(request: Request) -> dict[str, Any]:
        _refuse_read_only(booth)
        return {"id": _visitor(booth, request).new_draft()}

    @router.put("/drafts/{identity}/files")
    async def bring(request: Request, identity: str, name: str) -> dict[str, Any]:
        _refuse_read_only(booth)
        number, path = place_for(_draft(booth, request, identity), name)
        part, size = path.with_name(".part"), 0
        try:
            with part.open("wb") as file:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > MOST_FILE_BYTES:
                        raise InputError(
                            f"{path.name}: more than {MOST_FILE_BYTES / 2**20:,.0f} MB; scale it down first"
                        )
                    file.write(chunk)
            part.replace(path)
        except BaseException:  # also of a browser that went away
            remove_brought(path.parents[1], number)
            raise
        return {"number": number, "name": path.name}

    @router.delete("/drafts/{identity}/files/{number}")
    def leave_out(request: Request, identity: str, number: str) -> dict[str, Any]:
        remove_brought(_draft(booth, request, identity), number)
        return {}

    @router.post("/drafts/{identity}/check")
    def check(request: Request, identity: str, asked: Asked) -> dict[str, Any]:
        _refuse_read_only(booth)
        draft = _draft(booth, request, identity)
        with booth.checking:
            checked = check_draft(booth.settings, draft, asked)
        return {"problems": checked.problems.to_json(), "hints": checked.hints.to_json(), "good": checked.good}

    @router.post("/drafts/{identity}/add", response_model=None)
    def add(request: Request, identity: str, asked: Asked) -> dict[str, Any] | JSONResponse:
        _refuse_read_only(booth)
        draft = _draft(booth, request, identity)
        with booth.checking:
            added = add_draft(booth.settings, draft, asked)
        if isinstance(added, Findings):
            return JSONResponse({"problems": added.to_json(), "hints": Findings().to_json()}, status_code=422)
        _visitor(booth, request).forget_draft(identity)
        booth.forget_overview()
        if asked.get("train") is True:
            booth.trainings.start(added.concept.name)
        return {"name": added.concept.name, "images": len(added.images)}

    return router


def _refuse_read_only(booth: Booth) -> None:
    if booth.read_only:
        raise HTTPException(403, "this page is read-only: nothing is added here")


def _visitor(booth: Booth, request: Request) -> Visitor:
    return Visitor(booth.settings, request.state.token)


def _draft(booth: Booth, request: Request, identity: str) -> Path:
    draft = _visitor(booth, request).draft(identity)
    if draft is None:
        raise HTTPException(404, "these pictures are not here any more: load the page again and bring them anew")
    return draft
