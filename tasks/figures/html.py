"""Pages that hold everything inside themselves: how their templates are read, and pictures as part of the text."""

import base64
import io
from collections.abc import Callable, Mapping

from jinja2 import BaseLoader, Environment, StrictUndefined
from PIL import Image

SMALL_PIXELS = 128
"""Pictures up to this side are embedded exactly."""
EMBEDDED_PIXELS = 384
"""Longest side of a larger picture inside the page."""


def page_environment(templates: BaseLoader, filters: Mapping[str, Callable[..., object]]) -> Environment:
    """Templates of HTML: what is filled in is escaped, and a name that nobody gave is an error."""
    environment = Environment(
        loader=templates, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= filters
    return environment


def embedded(picture: Image.Image, xmp: bytes = b"") -> str:
    """The picture as a ``data:`` address: exact when small, a WebP of at most 384 pixels a side when not.

    `xmp` is what the file says of itself.
    """
    buffer = io.BytesIO()
    if max(picture.size) <= SMALL_PIXELS:
        picture.save(buffer, "WEBP", lossless=True, method=6, xmp=xmp)
    else:
        reduced = picture.copy()
        reduced.thumbnail((EMBEDDED_PIXELS, EMBEDDED_PIXELS), Image.Resampling.LANCZOS)
        reduced.save(buffer, "WEBP", quality=88, method=4, xmp=xmp)
    return as_data(buffer.getvalue())


def as_data(webp: bytes) -> str:
    """A WebP as a ``data:`` address."""
    return "data:image/webp;base64," + base64.b64encode(webp).decode("ascii")
