"""The program that draws for the booth, in a process of its own: a crash of it takes no page down.

`python -m tasks.booth.draw_program` reads orders from standard input, a JSON object a line: {"id", "folder", "order"}.
It answers on standard output, also a line each: {"id", "event": "begin" | "advance" | "done" | "failed", ...}. The base
stays in memory between orders. It ends when its input does.
"""

import json
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

from model.errors import InputError, WorkFailed
from tasks.booth.orders import Order, versions_asked
from tasks.drawing.generate import DrawingRequest, generate_pictures
from tasks.project.settings import Settings, load_settings


class LineReporter:
    """Tells of one side's progress in lines."""

    def __init__(self, out: TextIO, identity: str, side: int) -> None:
        self._out, self._told = out, {"id": identity, "side": side}

    def prepare(self, what: str) -> None:
        self._tell(event="prepare", note=what)

    def begin(self, title: str, total: int, unit: str) -> None:
        self._tell(event="begin", total=total)

    def advance(self, done: int, note: str = "") -> None:
        self._tell(event="advance", done=done)

    def end(self) -> None: ...

    def tell(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

    def _tell(self, **said: Any) -> None:
        print(json.dumps({**self._told, **said}), file=self._out, flush=True)


def draw(settings: Settings, identity: str, folder: Path, order: Order, out: TextIO) -> None:
    """Draw an order into `folder`/0, and `folder`/1 where two versions are compared. Never raises for it."""
    said: dict[str, Any] = {"id": identity, "event": "done"}
    try:
        for side, reference in enumerate(versions_asked(order)):
            request = DrawingRequest(
                prompts=[order.prompt],
                negative_prompt=order.negative_prompt or None,
                count=order.count,
                seed=order.seed,
                folder=folder / str(side),
            )
            generate_pictures(settings, reference, request, LineReporter(out, identity, side))
    except InputError as error:
        said |= {"event": "failed", "problems": list(error.problems)}
    except WorkFailed as error:
        said |= {"event": "failed", "problems": [str(error)]}
    except Exception as error:  # noqa: BLE001 - whatever it is, the next order is another
        traceback.print_exc()
        said |= {"event": "failed", "problems": [f"unexpected {type(error).__name__}: {error}"]}
    print(json.dumps(said), file=out, flush=True)


def main() -> None:
    """Draw what comes, one order after the other."""
    out, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    settings = load_settings()
    for line in sys.stdin:
        asked = json.loads(line)
        draw(settings, asked["id"], Path(asked["folder"]), Order.from_json(asked["order"]), out)


if __name__ == "__main__":
    main()
