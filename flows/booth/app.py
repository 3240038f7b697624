"""The booth as a web application: routes of all pages, with its guard before them."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from flows.booth import concept_routes, draft_routes, drawing_routes
from flows.booth.booth import Booth
from flows.booth.guard import POLICY, Guard
from flows.output.errors import error_lines
from model.errors import InputError, WorkFailed
from tasks.booth.pages import static_folder

_WORDS = {404: "There is no such page", 405: "That is not done here"}


def booth_app(booth: Booth, host: str) -> FastAPI:
    """The application of a booth that is reached under `host`."""
    app = FastAPI(title="ConceptBooth", docs_url=None, redoc_url=None, openapi_url=None)
    for routes in (concept_routes, drawing_routes, draft_routes):
        app.include_router(routes.router_of(booth))
    app.mount("/static", StaticFiles(directory=static_folder()), name="static")
    guard = Guard(host)

    @app.middleware("http")
    async def guarded(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        return await guard(request, call_next)

    @app.exception_handler(InputError)
    def bad_input(request: Request, error: InputError) -> Response:
        return _told(booth, request, 422, error.problems)

    @app.exception_handler(WorkFailed)
    def failed(request: Request, error: WorkFailed) -> Response:
        return _told(booth, request, 503, (str(error),))

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> Response:
        said = error.detail if error.status_code not in _WORDS or error.detail not in _PLAIN else ""
        return _told(booth, request, error.status_code, (said,) if said else ())

    @app.exception_handler(Exception)
    def unforeseen(request: Request, error: Exception) -> Response:
        try:
            raise error  # so that its traceback is written down
        except Exception as met:  # noqa: BLE001 - whatever it is, the person is told
            answer = _told(booth, request, 500, error_lines(met, booth.settings, "booth"))
        answer.headers["content-security-policy"] = POLICY  # it does not pass the guard
        return answer

    return app


_PLAIN = ("Not Found", "Method Not Allowed")


def _told(booth: Booth, request: Request, status: int, lines: tuple[str, ...]) -> Response:
    """An answer of problems: a page where a person asked for one, JSON where a script of ours did."""
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        title = _WORDS.get(status, "That did not work")
        return HTMLResponse(booth.pages.message(title, lines), status_code=404 if status == 422 else status)
    return JSONResponse({"problems": list(lines or (_WORDS.get(status, "That did not work"),))}, status_code=status)
