"""Colours that a file does not give in sRGB: what its numbers mean, and the same colours in sRGB.

The codes are those of ITU-T H.273, which PNG's cICP and AVIF use; the conversion goes from levels to light, from the
file's primaries to those of sRGB (Bradford's adaptation between white points), and back to levels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""White, red, green and blue as x and y."""
_PRIMARIES = {
    1: SRGB,
    9: (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),  # BT.2020
    12: (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # Display P3
}
_CURVES = {1: "bt709", 4: "gamma 2.2", 5: "gamma 2.8", 6: "bt709", 8: "linear", 13: "srgb", 14: "bt709", 15: "bt709"}
_HDR = {16: "PQ", 18: "HLG"}
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_USUAL_GAMMA, _NEAR_GAMMA, _NEAR_POINT = 1 / 2.2, 0.02, 0.003
_STRIP_PIXELS = 2**20


@dataclass(frozen=True)
class Encoding:
    """What the levels of a picture mean."""

    curve: str
    """From level to light: srgb, linear, bt709, or `gamma` and its exponent."""
    primaries: tuple[float, ...] = SRGB

    @classmethod
    def of_gamma(cls, gamma: float, primaries: tuple[float, ...] | None) -> "Encoding | None":
        """By PNG's gAMA (exponent from light to level) and cHRM; None where that is as good as sRGB, or nonsense."""
        if primaries is None or not _usable(primaries) or np.allclose(primaries, SRGB, atol=_NEAR_POINT):
            primaries = SRGB
        usual = abs(gamma - _USUAL_GAMMA) < _NEAR_GAMMA
        if (usual and primaries == SRGB) or not 0.2 <= gamma <= 5:
            return None
        return cls("srgb" if usual else f"gamma {1 / gamma:.5f}", primaries)


def coded_encoding(primaries: int, curve: int, *, matrix: int = 0, whole: int = 1) -> tuple[Encoding | None, str]:
    """The encoding that these codes of H.273 mean, None for sRGB; and why the picture is refused, or nothing."""
    if curve in _HDR:
        return None, f"a HDR picture ({_HDR[curve]}), whose brightness sRGB cannot hold; export it as SDR, in sRGB"
    if not whole or matrix:
        return None, "levels in the range of a video; export it in sRGB"
    if primaries not in _PRIMARIES or curve not in _CURVES:
        return None, f"colours of a kind that is not known (cICP {primaries}, {curve}); export it in sRGB"
    found = Encoding(_CURVES[curve], _PRIMARIES[primaries])
    return (None if found == Encoding("srgb") else found), ""


def converted(picture: Image.Image, encoding: Encoding) -> Image.Image:
    """A picture of mode L or RGB in sRGB."""
    light = _light(encoding.curve)(np.arange(256) / 255)  # of each level
    if encoding.primaries == SRGB:
        levels = (_srgb_levels(light) * 255).round().astype(int).tolist()
        return picture.point(levels * len(picture.getbands())).convert("RGB")
    matrix = (_to_srgb_light(encoding.primaries)).astype(np.float32)
    pixels = np.asarray(picture.convert("RGB"))  # (height, width, 3)
    found = np.empty_like(pixels)
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for start in range(0, len(pixels), rows):  # floats of 80 million pixels would take a gigabyte
        strip = light.astype(np.float32)[pixels[start : start + rows]] @ matrix.T
        found[start : start + rows] = (_srgb_levels(strip) * 255).round()
    return Image.fromarray(found)


def _light(curve: str) -> Callable[[np.ndarray], np.ndarray]:
    kind, _, exponent = curve.partition(" ")
    match kind:
        case "gamma":
            return lambda levels: levels ** float(exponent)
        case "bt709":
            return lambda levels: np.where(levels < 0.081, levels / 4.5, ((levels + 0.099) / 1.099) ** (1 / 0.45))
        case "srgb":
            return lambda levels: np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        case _:
            return lambda levels: levels


def _srgb_levels(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _to_srgb_light(primaries: tuple[float, ...]) -> np.ndarray:
    """From light in these primaries to light in those of sRGB, (3, 3)."""
    whites = [_xyz(*points[:2]) for points in (primaries, SRGB)]
    cones = [_BRADFORD @ white for white in whites]
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones[1] / cones[0]) @ _BRADFORD
    found: np.ndarray = np.linalg.inv(_to_xyz(SRGB)) @ adapted @ _to_xyz(primaries)
    return found


def _to_xyz(primaries: tuple[float, ...]) -> np.ndarray:
    """From light in these primaries to CIE XYZ, (3, 3): columns scaled so that together they make the white."""
    columns = np.stack([_xyz(*primaries[place : place + 2]) for place in (2, 4, 6)], axis=1)
    found: np.ndarray = columns * np.linalg.solve(columns, _xyz(*primaries[:2]))
    return found


def _xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _usable(primaries: tuple[float, ...]) -> bool:
    """Whether three colours span something, and its white lies in it."""
    if not all(y > 0 and x + y <= 1.001 for x, y in zip(primaries[::2], primaries[1::2], strict=True)):
        return False
    columns = np.stack([_xyz(*primaries[place : place + 2]) for place in (2, 4, 6)], axis=1)
    return abs(np.linalg.det(columns)) > 1e-3 and bool((np.linalg.solve(columns, _xyz(*primaries[:2])) > 0).all())
