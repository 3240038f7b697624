"""Addresses that people write: a folder, `file:///folder`, or `s3://bucket/prefix`, and nothing else.

Whatever else looks like an address is refused. As a folder of that name it would be made without a word, and who
believes models to be in a bucket would lose them with the machine.
"""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.files.s3_url import SCHEME, S3Url

_LIKE_AN_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/|(?i:s3|gs|gcs|az|abfss?|wasbs?|https?|ftp|file):")


def parse_address(text: str, *, also_s3: bool) -> Path | S3Url:
    """A folder as it was written, `~` expanded, or with `also_s3` a prefix of a bucket.

    Raises:
        ValueError: another kind of address, or one that is written wrong.
    """
    if also_s3 and text.startswith(SCHEME):
        return S3Url.parse(text)
    if text.startswith("file://"):
        return folder_of_address(text)
    if _LIKE_AN_ADDRESS.match(text):
        kinds = f"a folder, file:///folder{', or s3://bucket/prefix in small letters' if also_s3 else ''}"
        raise ValueError(f"{without_credentials(text)!r} is no address that is known here; write {kinds}")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~nobody
        raise ValueError(f"{text!r}: {error}") from error


def folder_of_address(address: str) -> Path:
    """The folder of a file:// address. Raises ValueError where that names another machine, or no whole path."""
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise ValueError(f"{address!r} is no address of a folder here; write file:///folder, its path whole")
    return Path(unquote(parts.path))


def without_credentials(address: str) -> str:
    """An address as it may be shown: without user and password, and without a query, which may hold a key."""
    scheme, found, rest = address.partition("://")
    if not found:
        return address
    rest = re.split(r"[?#]", rest, maxsplit=1)[0] if "@" not in re.split(r"[?#]", rest, maxsplit=1)[-1] else rest
    host, slash, path = rest.partition("/")
    if "@" in path and not re.fullmatch(r"[^:]*(:\d*)?|\[.*\](:\d*)?", host):
        host, slash, path = rest.rpartition("@")[2].partition("/")  # a password with a slash that nobody has escaped
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def hide_credentials(text: str, address: str) -> str:
    """What a library says of an address, without the user and password that stand in it."""
    inside, found, _ = address.partition("://")[2].rpartition("@")
    return text.replace(f"{inside}@", "") if found and inside else text
