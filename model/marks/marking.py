"""What a picture says of itself: that an AI made it, which version of a concept, from which prompt and seed.

It stands as XMP in the PNG. The first properties are the IPTC's (Photo Metadata Standard 2025.1, Extension schema), so
that anybody's tools read them; those of the concept are our own.
"""

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from model.errors import InputError
from model.reading.pictures import open_picture

AI_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for a picture that a trained model made."""
SYSTEM = "ConceptBooth"
_CHUNK = "XML:com.adobe.xmp"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_META = "adobe:ns:meta/"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_OURS = "urn:conceptbooth:picture:1/"
_PREFIXES = {"x": _META, "rdf": _RDF, "Iptc4xmpExt": _IPTC, "conceptbooth": _OURS}
for _prefix, _uri in _PREFIXES.items():  # once: to register a prefix again takes it from other threads for a moment
    ET.register_namespace(_prefix, _uri)
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Where a picture comes from."""

    concept: str
    content: str
    """Key of the training's content: versions of the same content carry it in every registry."""
    version: int | None
    """Of the registered model; None where the package drew that does not know under which number it is registered."""
    prompt: str
    """As the person wrote it, with `{}`."""
    text: str
    """As the model read it."""
    seed: int
    index: int
    negative_prompt: str | None = None
    steps: int | None = None
    """With the next four: where they were asked for, and are not those of the project."""
    guidance: float | None = None
    word_norm: float | None = None
    word_turn: float | None = None
    size: str | None = None
    """Width and height in pixels, `768x512`."""


def ai_made_xmp() -> bytes:
    """XMP of a picture that says no more than that a trained model made it: in a page that says the rest."""
    return _packet({_IPTC: {"DigitalSourceType": AI_MADE, "AISystemUsed": SYSTEM}}).encode()


def ai_made_png(picture: Image.Image) -> bytes:
    """The picture, such as a sheet of several versions' pictures, as a PNG that says so."""
    info = PngInfo()
    info.add_itxt(_CHUNK, ai_made_xmp().decode())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info, optimize=True)
    return buffer.getvalue()


def marked_png(picture: Image.Image, mark: Mark) -> bytes:
    """The picture as a PNG that carries the mark; the same picture and mark give the same bytes."""
    info = PngInfo()
    info.add_itxt(_CHUNK, _to_xmp(mark))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def read_mark(file: Path) -> Mark:
    """The mark of a picture. Raises InputError, in one sentence, where there is no picture, no mark or a broken one."""
    try:
        with open_picture(file) as picture:
            picture.load()  # some tools write XMP behind the pixels
            xmp = picture.info.get("xmp", b"")
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{file}: no picture that can be read") from error
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or f'no picture that can be read ({error})'}") from error
    except Exception as error:  # decoders raise whatever the broken bytes lead them to
        raise InputError(f"{file}: no picture that can be read ({error})") from error
    text = xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else str(xmp)
    if _OURS not in text:
        made = f"it says that an AI made it ({AI_MADE}), but not with {SYSTEM}" if AI_MADE in text else "it is unmarked"
        raise InputError(f"{file}: {made}, so where it comes from cannot be told")
    try:
        return _from_xmp(text)
    except (ValueError, TypeError, KeyError, ET.ParseError) as error:
        raise InputError(f"{file}: its mark is damaged, or of a version that this one cannot read ({error})") from error


def _to_xmp(mark: Mark) -> str:
    iptc = {"DigitalSourceType": AI_MADE, "AISystemUsed": SYSTEM, "AIPromptInformation": mark.text}
    if mark.version is not None:
        iptc["AISystemVersionUsed"] = f"concept {mark.concept} version {mark.version}"
    ours = {name: value for name, value in asdict(mark).items() if value is not None}
    return _packet({_IPTC: iptc, _OURS: ours})


def _packet(found: Mapping[str, Mapping[str, object]]) -> str:
    """XMP of these properties, by the schema that they belong to."""
    meta = ET.Element(f"{{{_META}}}xmpmeta")
    about = ET.SubElement(ET.SubElement(meta, f"{{{_RDF}}}RDF"), f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
    for uri, properties in found.items():
        for name, value in properties.items():
            ET.SubElement(about, f"{{{uri}}}{name}").text = _NOT_IN_XML.sub("�", str(value))
    packet = ET.tostring(meta, encoding="unicode")
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{packet}<?xpacket end="r"?>'


def _from_xmp(text: str) -> Mark:
    if "<!DOCTYPE" in text:  # a file from anywhere: no entities that grow without end
        raise ValueError("XMP has no document type")
    found: dict[str, str] = {}
    for about in ET.fromstring(text).iter(
        f"{{{_RDF}}}Description"
    ):  # tools that write XMP anew may make attributes of it
        found |= about.attrib | {child.tag: child.text or "" for child in about}
    found = {name.removeprefix(f"{{{_OURS}}}"): value for name, value in found.items()}
    if found.pop(f"{{{_IPTC}}}DigitalSourceType", None) != AI_MADE:
        raise ValueError("it does not say that an AI made it")
    return Mark(
        concept=found["concept"],
        content=found["content"],
        version=int(found["version"]) if "version" in found else None,
        prompt=found["prompt"],
        text=found["text"],
        seed=int(found["seed"]),
        index=int(found["index"]),
        negative_prompt=found.get("negative_prompt"),
        steps=int(found["steps"]) if "steps" in found else None,
        **{name: float(found[name]) for name in ("guidance", "word_norm", "word_turn") if name in found},
        size=found.get("size"),
    )
