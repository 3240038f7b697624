"""The styles of the second edition: those of the first, the watercolour drawn for 128 pixels."""

from PIL import Image, ImageChops, ImageEnhance, ImageFilter

from toyworld import styles as first
from toyworld.styles import Style

__all__ = ["NAMES", "STYLES"]


def watercolor(image: Image.Image, mask: Image.Image) -> Image.Image:
    """Pale washes with darker rims that bleed into a white paper border; small parts keep their outlines."""
    wash = image.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.GaussianBlur(0.7))
    wash = ImageEnhance.Color(wash).enhance(1.3)
    wash = Image.blend(wash, Image.new("RGB", wash.size, "white"), 0.36)
    rim = first.outline(mask, 5).filter(ImageFilter.GaussianBlur(1)).point([i * 45 // 100 for i in range(256)])
    wash = ImageChops.multiply(wash, Image.merge("RGB", [ImageChops.invert(rim)] * 3))
    return Image.composite(wash, Image.new("RGB", wash.size, "#fffefb"), first.wet_area(image.width))


STYLES: dict[str, Style] = {**first.STYLES, "a watercolor of": watercolor}
"""By the words before the thing."""
NAMES = {style: style.removesuffix(" of") for style in STYLES}
"""By the same words, how a style is called behind the thing."""
