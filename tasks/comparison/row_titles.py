"""The titles of a sheet's rows: a method's label may be longer than its row's margin, and is broken, not cut."""

import re

from tasks.figures.sheet import ACCENT, FAINT, Sheet

_SIZE, _NOTE = 20, 16


def write_title(sheet: Sheet, left: int, middle: int, room: int, title: str, note: str = "") -> None:
    """Write a title, and a note below it, around the height `middle`; both in `room` pixels from the left."""
    lines = [(line, _SIZE) for line in _broken(sheet, title, room, _SIZE)]
    lines += [(line, _NOTE) for line in _broken(sheet, note, room, _NOTE)]
    y = middle - sum(size + 6 for _, size in lines) // 2
    for line, size in lines:
        sheet.write((left, y), line, size, ACCENT if size == _SIZE else FAINT, bold=size == _SIZE, until=left + room)
        y += size + 6


def _broken(sheet: Sheet, words: str, room: int, size: int) -> list[str]:
    """Lines that fit, broken behind spaces, dashes, colons and the like where that is enough."""
    lines: list[str] = []
    for part in re.findall(r"[^\s_+:-]+[\s_+:-]*", words):
        if lines and sheet.width_of((lines[-1] + part).rstrip(), size) <= room - size // 2:
            lines[-1] += part
        else:
            lines.append(part)
    return [line.rstrip() for line in lines]
