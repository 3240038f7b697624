"""The bytes of a file from outside: only of a regular file, only as many as are bearable; and the text in them."""

import codecs
import os
import stat
from pathlib import Path

from model.errors import InputError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_MARKED = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""What a byte-order mark says of the encoding of the bytes behind it."""


def other_kind(mode: int) -> str | None:
    """What something with this `st_mode` is instead of a regular file; None if it is one."""
    return None if stat.S_ISREG(mode) else next((word for test, word in _KINDS if test(mode)), "no file")


def read_file(path: Path, label: str, most_bytes: int) -> bytes:
    """The content of a file, which messages call `label`.

    A pipe or a device is never waited for, and no more than `most_bytes` are ever asked for.

    Raises:
        InputError: it is not there, is no regular file, cannot be read, or is larger.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for somebody to write into it.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise InputError(f"{label}: there is no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a name with NUL in it
        raise InputError(f"{label}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    try:
        state = os.fstat(handle)
        if kind := other_kind(state.st_mode):
            raise InputError(f"{label}: {kind}; a file is needed")
        if state.st_size > most_bytes:
            raise InputError(_too_large(label, state.st_size, most_bytes))
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise InputError(f"{label}: cannot be read ({error.strerror})") from error
    finally:
        os.close(handle)
    if len(content) > most_bytes:  # it grew, or lies in a file system that tells no sizes
        raise InputError(_too_large(label, len(content), most_bytes))
    return content


def decoded(content: bytes, label: str) -> str:
    """The text in these bytes: UTF-8, or what their byte-order mark says; the mark itself is left out.

    Raises:
        InputError: they are no such text; it names the line.
    """
    encoding = next((name for mark, name in _MARKED.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{content[error.start]:02x}"
        raise InputError(f"{label}: line {line}: no {encoding[:6].upper()} ({byte}); save it as UTF-8") from error
    if (nul := text.find("\0")) >= 0:
        line = text.count("\n", 0, nul) + 1
        raise InputError(f"{label}: line {line}: a NUL character; save it as plain UTF-8 text")
    return text


def read_text(path: Path, label: str, most_bytes: int) -> str:
    """The text of a file. InputError as `read_file` and `decoded` raise it."""
    return decoded(read_file(path, label, most_bytes), label)


def _too_large(label: str, size: int, most: int) -> str:
    return f"{label}: {size / 2**20:,.0f} MB; a file of this kind has at most {most / 2**20:,.0f} MB"
