"""Images made smaller, never larger."""

from PIL import Image


def shrunk(image: Image.Image, short_side: int) -> Image.Image:
    """The image with its shorter side at `short_side` pixels, or as it is where that has no more."""
    factor = short_side / min(image.size)
    if factor >= 1:
        return image
    width, height = (max(short_side, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)
