"""YAML, JSON and TOML that would hang, fell or fool whoever reads it: each with what its refusal should say."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Case:
    """One file."""

    called: str
    kind: str
    """yaml, json or toml."""
    write: Callable[[Path], None]
    says: str
    """Part of the refusal; empty: it is a good document, which says `seed: 7`."""


def _laughs(levels: int, wide: int) -> bytes:
    """Lists of aliases of lists of aliases: `wide` to the power of `levels` things."""
    lines = [f"a0: &a0 [{', '.join(['x'] * wide)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * wide)}]" for n in range(1, levels)]
    return "\n".join(lines).encode()


def _merged() -> bytes:
    """The same with tables that take in others."""
    pairs = zip("abcdefgh", "bcdefghi", strict=True)
    lines = [f"{name}: &{name} {{<<: *{last}, l: [{', '.join([f'*{last}'] * 12)}]}}" for last, name in pairs]
    return "\n".join(["a: &a {x: 1, y: 2}", *lines]).encode()


def _holds(content: bytes | str) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content) and None  # type: ignore[func-returns-value]


def _sparse(size: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    return write


def cases() -> list[Case]:
    """All of them."""
    return [
        *(Case(called=f"YAML, {called}", kind="yaml", write=write, says=says) for called, write, says in _YAML),
        *(Case(called=f"JSON, {called}", kind="json", write=write, says=says) for called, write, says in _JSON),
        *(Case(called=f"TOML, {called}", kind="toml", write=write, says=says) for called, write, says in _TOML),
    ]


_FILES: list[tuple[str, Callable[[Path], None], str]] = [
    ("300 MB", _sparse(300 * 2**20), "300 MB; a file of this kind has at most"),
    ("a named pipe", lambda path: os.mkfifo(path), "a named pipe; a file is needed"),
    ("a link to /dev/zero", lambda path: path.symlink_to("/dev/zero"), "a device; a file is needed"),
    ("a folder", lambda path: path.mkdir(), "a folder"),
    ("a link to itself", lambda path: path.symlink_to(path.name), ""),
]
_YAML = [
    *[case for case in _FILES if case[2]],
    ("anchors that multiply", _holds(_laughs(9, 10)), "line 4, column 45: *a2: the anchors repeat"),
    (
        "anchors in tables",
        _holds(
            "a: &a {x: 1, y: 2}\n"
            + "".join(
                f"{c}: &{c} {{<<: *{p}, l: [{', '.join(['*' + p] * 12)}]}}\n"
                for p, c in zip("abcdefgh", "bcdefghi", strict=True)
            )
        ),
        "the anchors repeat",
    ),
    ("an anchor inside itself", _holds("a: &a [*a]"), "line 1, column 8: *a stands inside"),
    ("100,000 brackets", _holds("a: " + "[" * 100_000), "line 1, column 67: nested more than 64"),
    ("100,000 braces", _holds("{a: " * 100_000), "line 1, column"),
    ("2,000 levels of lists by dashes", _holds("- " * 2_000 + "a"), "line 1, column 129: nested more"),
    (
        "2,500 levels by indentation",
        _holds("".join(" " * n + "a:\n" for n in range(2_500)) + " " * 2_500 + "b"),
        "line 65",
    ),
    ("a number of 5,000 digits", _holds("a: 1\nb: " + "9" * 5_000), "line 2, column 4: a number of 5,000"),
    ("a binary number of 50,000 digits", _holds("seed: 0b" + "1" * 50_000), "line 1, column 7: a number of 50,002"),
    ("a date that is none", _holds("a: 2026-02-30"), "line 1, column 4: '2026-02-30' is no timestamp"),
    ("text called a number", _holds("a: !!int seven"), "line 1, column 4: 'seven' is no int"),
    ("text called true or false", _holds("a: !!bool perhaps"), "line 1, column 4: 'perhaps' is no bool"),
    ("a Python object", _holds("a: !!python/object/apply:os.system ['true']"), "line 1, column 4"),
    ("a key that is a list", _holds("? [a]\n: 1"), "line 1"),
    ("bytes that are no UTF-8", _holds(b"a: 1\nb: \xe9t\xe9"), "line 2: no UTF-8 (byte 0xe9)"),
    ("UTF-16 without its mark", _holds("seed: 7\n".encode("utf-16-le")), "line 1: a NUL character"),
    ("UTF-16 with its mark", _holds("seed: 7\n".encode("utf-16")), ""),
    ("UTF-8 with a mark", _holds(b"\xef\xbb\xbfseed: 7\n"), ""),
    ("half a surrogate pair", _holds('a: "\\ud83d"'), "line 1"),
]
_JSON = [
    *[case for case in _FILES if case[2]],
    ("1,000 levels", _holds('{"a":' * 1_000 + "1" + "}" * 1_000), "nested more than 64"),
    ("100,000 levels", _holds("[" * 100_000 + "]" * 100_000), "nested more than 64"),
    ("100 levels", _holds("[" * 100 + "]" * 100), "nested more than 64"),
    ("a number of 5,000 digits", _holds('{"seed": ' + "9" * 5_000 + "}"), "integer"),
    ("a number of 400 digits", _holds('{"seed": ' + "9" * 400 + "}"), "a number of 1329 bits"),
    ("bytes that are no UTF-8", _holds(b'{"a":\n"\xff"}'), "line 2: no UTF-8 (byte 0xff)"),
    ("UTF-16 with its mark", _holds('{"seed": 7}'.encode("utf-16")), ""),
    ("UTF-8 with a mark", _holds(b'\xef\xbb\xbf{"seed": 7}'), ""),
    ("half a surrogate pair", _holds('{"a": "\\ud83d"}'), "half of a surrogate pair"),
    ("half a surrogate pair in a name", _holds('{"\\ud83d": 1}'), "half of a surrogate pair"),
    ("cut off", _holds('{"a": '), "not JSON"),
]
_TOML = [
    *[case for case in _FILES if case[2]],
    ("2,000 levels", _holds("a = " + "[" * 2_000 + "]" * 2_000), "nested more than 64"),
    ("a name of 2,000 parts", _holds(".".join(["a"] * 2_000) + " = 1"), "nested more than 64"),
    ("a number of 5,000 digits", _holds("a = " + "9" * 5_000), "integer"),
    ("a hexadecimal number of 5,000 digits", _holds("a = 0x" + "f" * 5_000), "a number of 20000 bits"),
    ("bytes that are no UTF-8", _holds(b"a = 1\nb = '\xff'"), "line 2: no UTF-8 (byte 0xff)"),
    ("UTF-16 with its mark", _holds("seed = 7\n".encode("utf-16")), ""),
    ("UTF-8 with a mark", _holds(b"\xef\xbb\xbfseed = 7\n"), ""),
]
