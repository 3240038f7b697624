"""How much of a library's version counts in a key: as much as can change a number, a pixel or a token.

The whole version as it is installed is in the manifest beside it (`installed`).
"""

import importlib.metadata
from collections.abc import Iterable
from typing import Literal

Part = Literal["patch", "minor"]
"""The last part of a version that counts: of 2.13.1 "minor" counts 2.13."""

COUNTED: dict[str, tuple[Part, str]] = {
    "torch": ("patch", "patch releases mend kernels that gave wrong numbers"),
    "diffusers": ("patch", "below 1.0 nothing is promised, and schedulers and attention are mended in patch releases"),
    "transformers": ("patch", "text encoders run in it, and its patch releases mend models"),
    "peft": ("patch", "below 1.0 nothing is promised; adapters begin and train in it"),
    "tokenizers": (
        "minor",
        "the ids of a text follow from tokenizer.json, which is in the key; patch releases mend builds and bindings",
    ),
    "numpy": (
        "minor",
        "patch releases are bug fixes by its policy, and random streams change in minor releases alone (NEP 19)",
    ),
    "pillow": (
        "minor",
        "patch releases are security fixes of readers: what could be read before gives the same pixels; resampling and "
        "bundled codecs change with the quarterly releases",
    ),
    "jinja2": ("minor", "patch releases are security fixes; it writes the gallery's page, and no number"),
}
"""By library: how much of its version counts, and why."""


def counted_versions(names: Iterable[str]) -> dict[str, str]:
    """The part of each installed library's version that counts."""
    return {name: _counted(name, version) for name, version in installed_versions(names).items()}


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """The versions that are installed.

    The local part of a version ("+cpu") says how torch was built; the device type is in the numeric policy.
    """
    return {name: importlib.metadata.version(name).split("+")[0] for name in names}


def _counted(name: str, version: str) -> str:
    part, _ = COUNTED[name]
    numbers = version.split(".")
    plain = all(number.isdigit() for number in numbers[:2])  # a pre-release of a minor release counts whole
    return ".".join(numbers[:2]) if part == "minor" and plain and len(numbers) > 2 and numbers[2].isdigit() else version
