"""Paper for contact sheets: words that are cut where their room ends, and pictures as square tiles."""

from functools import cache

from PIL import Image, ImageDraw, ImageFont, ImageOps

PAPER, INK, FAINT, LINE, ACCENT = "#fbfaf7", "#1b1a1f", "#67636e", "#dcd8cf", "#6a3fb5"
GOOD, BAD = "#1d6b3a", "#a3262f"


class Sheet:
    """Paper, with a pen that knows how wide words are."""

    def __init__(self, width: int, height: int, *, margin: int, tile: int) -> None:
        """All in pixels; `tile` is the side of every picture."""
        self._right, self._tile = width - margin, tile
        self.image = Image.new("RGB", (width, height), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def width_of(self, words: str, size: int) -> float:
        """Of one line, in pixels."""
        return self.draw.textlength(words, font=_font(size))

    def write(
        self,
        xy: tuple[float, float],
        words: str,
        size: int,
        colour: str = INK,
        *,
        bold: bool = False,
        until: float | None = None,
    ) -> float:
        """Write one line from its left top corner, cut with an ellipsis before x = ``until``; returns its end's x.

        Without ``until`` it may go as far as the right margin.
        """
        room = (self._right if until is None else until) - xy[0]
        if self.width_of(words, size) > room:
            while words and self.width_of(words + "…", size) > room:
                words = words[:-1]
            words = words.rstrip() + "…" if words else ""
        weight = size / 45 if bold else 0  # the font that comes with Pillow has one weight only
        self.draw.text(xy, words, font=_font(size), fill=colour, stroke_width=weight, stroke_fill=colour)
        return xy[0] + self.width_of(words, size)

    def heading(self, xy: tuple[int, int], title: str, explanation: str, *, until: float | None = None) -> int:
        """A section's title with a line of explanation beside it; returns the y below."""
        end = self.write(xy, title, 34, bold=True)
        self.write((end + 16, xy[1] + 9), explanation, 23, FAINT, until=until)
        return xy[1] + 58

    def paste(self, xy: tuple[int, int], picture: Image.Image) -> None:
        """Put the middle square of a picture on a tile; a small one is enlarged smoothly."""
        tile = ImageOps.fit(picture.convert("RGB"), (self._tile, self._tile), method=Image.Resampling.LANCZOS)
        self.image.paste(tile, xy)
        self.draw.rectangle([xy[0], xy[1], xy[0] + self._tile - 1, xy[1] + self._tile - 1], outline=LINE)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
