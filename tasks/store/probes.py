"""Places proved by use: written, read back, written conditionally."""

import uuid
from pathlib import Path
from typing import Any

from tasks.files.s3_url import S3Url
from tasks.store.blobs import StoreFailed
from tasks.store.s3 import as_store_failures


def prove_folder(what: str, folder: Path) -> None:
    """Write a file into a folder, read it back and remove it. Raises StoreFailed."""
    path, word = folder / f"probe-{uuid.uuid4().hex}", uuid.uuid4().bytes
    try:
        try:
            path.write_bytes(word)
            read = path.read_bytes()
        finally:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreFailed(f"{what} {folder}: cannot be used: {error.strerror}; mend it", retryable=False) from error
    if read != word:
        raise StoreFailed(f"{what} {folder}: what was written does not read back", retryable=False)


def prove_s3(what: str, client: Any, url: S3Url) -> None:
    """Write an object below an address, read it back and remove it. Raises StoreFailed."""
    place, word = {"Bucket": url.bucket, "Key": url.key(f"probe-{uuid.uuid4().hex}")}, uuid.uuid4().bytes
    with as_store_failures(f"{what} {url}", "cannot be used"):
        client.put_object(**place, Body=word)
        read = client.get_object(**place)["Body"].read()
        client.delete_object(**place)
    if read != word:
        raise StoreFailed(f"{what} {url}: what was written does not read back", retryable=False)
