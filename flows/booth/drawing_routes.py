"""Routes of what a visitor has drawn: nobody but them reaches it, whatever they know of its address."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from flows.booth.booth import Booth
from tasks.booth.orders import Order, read_order
from tasks.booth.visitors import Visitor
from tasks.concepts.concepts import check_name

Asked = Annotated[dict[str, Any], Body()]
_NUMBER = re.compile(r"-(\d+)\.png")
_SHOWN = 8
"""Drawings of a concept that a page begins with."""


def router_of(booth: Booth) -> APIRouter:
    """The routes, for one booth."""
    router = APIRouter()

    @router.post("/c/{name}/drawings")
    def draw(request: Request, name: str, asked: Asked) -> dict[str, Any]:
        check_name(name)
        order, visitor = read_order(booth.settings, name, booth.versions(name), asked), _visitor(booth, request)
        identity, folder = visitor.new_drawing(order.to_json())
        booth.drawer.take(identity, visitor.name, folder, order)
        return _told(booth, identity, folder, order) | {"hints": list(order.hints)}

    @router.get("/c/{name}/drawings")
    def drawings(request: Request, name: str) -> list[dict[str, Any]]:
        found = [(identity, folder, _order(folder)) for identity, folder in _visitor(booth, request).drawings()]
        own = [(identity, folder, order) for identity, folder, order in found if order and order.concept == name]
        return [_told(booth, identity, folder, order) for identity, folder, order in own[:_SHOWN]]

    @router.get("/drawings/{identity}")
    def drawing(request: Request, identity: str) -> dict[str, Any]:
        folder = _folder(booth, request, identity)
        order = _order(folder)
        if order is None:
            raise HTTPException(404)
        return _told(booth, identity, folder, order)

    @router.delete("/drawings/{identity}")
    def stop(request: Request, identity: str) -> dict[str, Any]:
        _folder(booth, request, identity)
        booth.drawer.stop(identity)
        return {}

    @router.get("/drawings/{identity}/{side}/{number}.png")
    def picture(request: Request, identity: str, side: int, number: int, save: bool = False) -> FileResponse:
        path = _pictures(_folder(booth, request, identity), side).get(number)
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, media_type="image/png", filename=path.name if save else None)

    return router


def _visitor(booth: Booth, request: Request) -> Visitor:
    return Visitor(booth.settings, request.state.token)


def _folder(booth: Booth, request: Request, identity: str) -> Path:
    folder = _visitor(booth, request).drawing(identity)
    if folder is None:
        raise HTTPException(404)
    return folder


def _order(folder: Path) -> Order | None:
    try:
        return Order.from_json(json.loads((folder / "order.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _pictures(folder: Path, side: int) -> dict[int, Path]:
    """What is drawn of one side, by the number of the picture; half-written ones are hidden files."""
    found = ((_NUMBER.search(path.name), path) for path in (folder / str(side)).glob("[!.]*.png"))
    return {int(match[1]): path for match, path in found if match}


def _told(booth: Booth, identity: str, folder: Path, order: Order) -> dict[str, Any]:
    """A drawing as the page shows it."""
    state = booth.drawer.state(identity, folder)
    sides = []
    for side, reference in enumerate(order.references):
        called = f"version {reference.rpartition('/')[2]}"
        pictures = [f"/drawings/{identity}/{side}/{number}.png" for number in sorted(_pictures(folder, side))]
        sides.append({"called": called, "pictures": pictures})
    return {
        "id": identity,
        "prompt": order.prompt,
        "negative_prompt": order.negative_prompt,
        "count": order.count,
        "seed": order.seed,
        "state": state.state,
        "done": state.done,
        "total": order.count * len(order.references),
        "ahead": booth.drawer.ahead(identity),
        "note": state.note,
        "problems": list(state.problems),
        "sides": sides,
    }
