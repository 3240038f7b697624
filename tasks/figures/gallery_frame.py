"""What is put around a gallery when its training is registered: version, date, links, how it compares.

None of it is known when the gallery is drawn, and the same pictures may be registered in several places, so the page
and the sheet stay in the store as they are, and this goes around a copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jinja2 import PackageLoader

from model.marks.marking import Mark, marked_png
from model.reading.pictures import open_picture
from model.scores.interval import Interval
from tasks.figures.contact_sheet import MARGIN, TILE
from tasks.figures.html import page_environment
from tasks.figures.score_words import ScoreVerdict
from tasks.figures.sheet import BAD, FAINT, GOOD, LINE, Sheet

_BODY = "<body>\n"
_SQUARE = "image-rendering: pixelated; "
"""How pages of before enlarged small pictures."""
_STRIP, _LINE = 92, 44
"""Height of what goes above a sheet, and of one line more, in pixels."""


@dataclass(frozen=True, kw_only=True)
class ScoreChange:
    """One score in the version before and in this one."""

    name: str
    before: Interval
    now: Interval

    @property
    def verdict(self) -> str:
        """In a word; "higher" and "lower" only where the 95 % intervals do not overlap."""
        before, now = self.before, self.now
        if before.low is None or before.high is None or now.low is None or now.high is None:
            return "too few pictures to tell"
        if now.low > before.high:
            return "higher"
        return "lower" if now.high < before.low else "about the same"


@dataclass(frozen=True, kw_only=True)
class GalleryFrame:
    """What is known of a registered version."""

    concept: str
    version: int
    trained_at: str
    """UTC, ISO 8601."""
    domain: str | None
    """The small world of its base; None where the base draws whatever people photograph."""
    verdict: ScoreVerdict | None
    """By the gates of when this was written; None where they ask no scores."""
    before: int | None
    """The version before it that has a gallery."""
    after: int | None
    changes: Sequence[ScoreChange] = ()
    """Against the version before."""
    incomparable: str | None = None
    """Why nothing is said against it, though there is one."""

    @property
    def date(self) -> str:
        """As people write it: 30 November 2026."""
        day = datetime.fromisoformat(self.trained_at)
        return f"{day.day} {day:%B %Y}"


def framed_page(page: str, frame: GalleryFrame, *, up: str = "../") -> str:
    """The page with the frame at its top; `up` leads from where it lies to the folder of the concept's versions."""
    environment = page_environment(PackageLoader("tasks.figures"), {})
    around = environment.get_template("gallery_frame.html.j2").render(frame=frame, up=up)
    return page.replace(_BODY, _BODY + around, 1).replace(_SQUARE, "", 1)


def framed_sheet(file: Path, frame: GalleryFrame, mark: Mark) -> bytes:
    """The sheet as a PNG with the frame above it, marked as what it shows."""
    with open_picture(file, ("PNG",)) as opened:
        drawn = opened.convert("RGB")
    strip = _STRIP + (_LINE if frame.verdict else 0)
    sheet = Sheet(drawn.width, drawn.height + strip, margin=MARGIN, tile=TILE)
    sheet.image.paste(drawn, (0, strip))
    end = sheet.write((MARGIN, 30), f"version {frame.version}", 30, bold=True)
    said = f"   trained on {frame.date}   {f'base of {frame.domain}   ' if frame.domain else ''}pictures made by AI"
    sheet.write((end, 30), said, 30, FAINT)
    if frame.verdict:
        colour = GOOD if frame.verdict.passed else BAD
        sheet.write((MARGIN, 30 + _LINE), f"Verdict: {frame.verdict.said}", 30, colour, bold=True)
    sheet.draw.line([(MARGIN, strip - 8), (drawn.width - MARGIN, strip - 8)], fill=LINE, width=2)
    return marked_png(sheet.image, mark)
