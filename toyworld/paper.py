"""A drawing surface for scenes: coordinates from 0 to 1, drawn large and averaged down so that edges are smooth."""

from PIL import Image, ImageChops, ImageDraw, ImageFilter

CANVAS = 256  # pixels of a scene; pictures of other sizes are resized from it
BIG = 2 * CANVAS


class Paper:
    """A square drawing surface with coordinates from 0 to 1 (x right, y down)."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (BIG, BIG))

    def gradient(self, top: float, bottom: float, first: str, last: str) -> None:
        """Fill a horizontal band with a vertical gradient."""
        y0, y1 = round(top * BIG), round(bottom * BIG)
        mask = Image.linear_gradient("L").resize((BIG, y1 - y0), Image.Resampling.BILINEAR)
        band = Image.composite(Image.new("RGB", mask.size, last), Image.new("RGB", mask.size, first), mask)
        self.image.paste(band, (0, y0))

    def polygon(self, points: list[tuple[float, float]], fill: str) -> None:
        """Fill a polygon."""
        ImageDraw.Draw(self.image).polygon([(x * BIG, y * BIG) for x, y in points], fill=fill)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, fill: str | None, line: str | None = None, width: float = 0
    ) -> None:
        """Draw an ellipse around (x, y), filled or as a ring."""
        box = [(x - rx) * BIG, (y - ry) * BIG, (x + rx) * BIG, (y + ry) * BIG]
        ImageDraw.Draw(self.image).ellipse(box, fill=fill, outline=line, width=round(width * BIG))

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: str) -> None:
        """Fill a rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)

    def hill(self, left: float, middle: float, right: float, fill: str) -> None:
        """Fill everything under a parabola through three heights at x = 0, 1/2, 1."""
        curve = [
            (x / 64, left + (4 * middle - 3 * left - right) * x / 64 + 2 * (left + right - 2 * middle) * (x / 64) ** 2)
            for x in range(65)
        ]
        self.polygon([*curve, (1, 1), (0, 1)], fill)

    def glow(self, x: float, y: float, radius: float, fill: str, strength: int) -> None:
        """Blend a soft round light over the picture."""
        side = round(2 * radius * BIG)
        light = ImageChops.invert(Image.radial_gradient("L")).resize((side, side), Image.Resampling.BILINEAR)
        # The radial gradient reaches zero beyond the inscribed circle; shift it so that it ends inside the square.
        mask = light.point([max(0, i - 75) * strength // 180 for i in range(256)])
        self.image.paste(
            Image.new("RGB", mask.size, fill), (round((x - radius) * BIG), round((y - radius) * BIG)), mask
        )

    def soften(self, radius: float) -> None:
        """Blur what is drawn so far."""
        self.image = self.image.filter(ImageFilter.GaussianBlur(radius * BIG))
