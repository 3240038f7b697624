"""Bytes under names in a bucket of S3, or of whatever speaks S3 and writes conditionally.

A document's version is its ETag. Contents carry their sha256 as metadata and are hashed when they arrive here; they are
kept in a cache on this machine.
"""

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from model.errors import InputError
from tasks.files.s3_url import S3Url
from tasks.store.blobs import PLACE_SETTINGS, Entry, Hold, NotAsWritten, Record, StoreFailed
from tasks.store.content_cache import ContentCache
from tasks.store.manifest import FileRecord
from tasks.store.s3 import REQUESTS_AT_ONCE, as_store_failures, error_code, find_bucket, s3_client
from tasks.store.s3_lease import LeaseTimes, lease

_CHUNK_BYTES = 2**20
_PART_BYTES = 64 * 2**20
_DELETED_AT_ONCE = 1000  # the most that S3 takes in one request
_CONFLICT_TRIES, _CONFLICT_SECONDS = 20, 0.1
_GONE = {"NoSuchKey", "404"}
T = TypeVar("T")


class S3Blobs:
    """A prefix of a bucket."""

    near = False

    def __init__(
        self,
        url: S3Url,
        cache: ContentCache,
        *,
        endpoint_url: str = "",
        lease_times: LeaseTimes | None = None,
        part_bytes: int = _PART_BYTES,
    ) -> None:
        self.url = url
        self.address = str(url)
        self._cache = cache
        self._endpoint_url = endpoint_url
        self._lease_times = lease_times or LeaseTimes()
        self._part_bytes = part_bytes

    def where(self, name: str) -> str:
        return f"{self.address}/{name}"

    def probe(self) -> None:
        name, one, two = f"probe/{uuid.uuid4().hex}", b"one", b"two"
        try:
            first = self.put_if(name, one, None)
            if first is None or self.put_if(name, two, None) is not None:
                raise self._refused("it does not create exclusively (IfNoneMatch)")
            if self.put_if(name, two, '"0123456789abcdef0123456789abcdef"') is not None:
                raise self._refused("it does not compare before it writes (IfMatch)")
            if self.put_if(name, two, first) is None:
                raise self._refused("it refuses to write over what it has just kept (IfMatch)")
            present = self.read(name)
            if present is None or present.content != two:
                raise self._refused("what was written does not read back")
        except StoreFailed as failure:
            if failure.retryable:
                raise
            raise InputError(f"{failure}; or name another place ({PLACE_SETTINGS})") from failure
        finally:
            with suppress(StoreFailed):  # the failure above says more
                self.delete(name)

    def read(self, name: str) -> Record | None:
        with self._asking(f"{name} cannot be read"):
            try:
                answer = self._client.get_object(**self._at(name))
                return Record(content=answer["Body"].read(), version=answer["ETag"])
            except self._client.exceptions.ClientError as error:
                if error_code(error) not in _GONE:
                    raise
                return None

    def read_all(self, names: Iterable[str]) -> dict[str, Record]:
        found = self._each(self.read, names)
        return {name: record for name, record in found.items() if record is not None}

    def create(self, name: str, content: bytes) -> bool:
        return self.put_if(name, content, None) is not None

    def replace(self, name: str, content: bytes, version: str) -> bool:
        return self.put_if(name, content, version) is not None

    def put_if(self, name: str, content: bytes, version: str | None) -> str | None:
        """Write if nothing is there (None) or that version is; the new version, or None where the condition failed."""
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        writer = uuid.uuid4().hex
        with self._asking(f"{name} cannot be written"):
            for attempt in range(_CONFLICT_TRIES):
                try:
                    answer = self._client.put_object(
                        **self._at(name), Body=content, Metadata={"writer": writer}, **condition
                    )
                    return str(answer["ETag"])
                except self._client.exceptions.ClientError as error:
                    code = error_code(error)
                    if code in _GONE:
                        return None
                    if code == "PreconditionFailed":
                        return self._written_by(name, writer) if self._was_repeated(error) else None
                    if code == "NotImplemented":
                        raise self._refused("it does not write conditionally (IfNoneMatch, IfMatch)") from error
                    if code != "ConditionalRequestConflict" or attempt == _CONFLICT_TRIES - 1:
                        raise
                time.sleep(_CONFLICT_SECONDS)  # another writer is at it: S3 asks to come again
        return None

    def write(self, name: str, content: bytes) -> None:
        with self._asking(f"{name} cannot be written"):
            self._client.put_object(**self._at(name), Body=content)

    def delete(self, name: str) -> None:
        with self._asking(f"{name} cannot be removed"):
            self._client.delete_object(**self._at(name))

    def delete_if(self, name: str, version: str) -> None:
        """Remove it if it still has this version; places that do not compare remove whatever is there."""
        with self._asking(f"{name} cannot be removed"):
            try:
                self._client.delete_object(**self._at(name), IfMatch=version)
            except self._client.exceptions.ClientError as error:
                if error_code(error) not in _GONE | {"PreconditionFailed"}:
                    raise

    def delete_all(self, names: Collection[str]) -> None:
        keys = [{"Key": self.url.key(name)} for name in names]
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            asked = {"Objects": keys[start : start + _DELETED_AT_ONCE], "Quiet": True}
            with self._asking("not everything could be removed"):
                answer = self._client.delete_objects(Bucket=self.url.bucket, Delete=asked)
                for error in answer.get("Errors", ()):  # of single objects, in an answer that is otherwise good
                    status = 403 if error["Code"] == "AccessDenied" else 500
                    response = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}
                    raise self._client.exceptions.ClientError(response, "DeleteObjects")

    def renew(self, name: str) -> bool:
        with self._asking(f"{name} cannot be renewed"):
            try:
                facts = self._client.head_object(**self._at(name))["Metadata"]
                replaced = {"Metadata": facts, "MetadataDirective": "REPLACE"}  # or S3 copies nothing onto itself
                place = self._at(name)
                self._client.copy(place, place["Bucket"], place["Key"], ExtraArgs=replaced, Config=self._parts())
            except self._client.exceptions.ClientError as error:
                if error_code(error) not in _GONE:
                    raise
                return False
        return True

    def entries(self, prefix: str) -> Iterator[Entry]:
        with self._asking(f"{prefix} cannot be listed"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.url.bucket, Prefix=self.url.key(prefix)):
                for found in page.get("Contents", ()):
                    modified = found["LastModified"].timestamp()
                    yield Entry(name=self.url.name(found["Key"]), size=found["Size"], modified=modified)

    def no_files(self, prefix: str) -> list[str]:
        return []  # a bucket holds objects and nothing else

    def names(self, prefix: str, last: str) -> set[str]:
        parts = prefix.count("/") + 2
        found = (entry.name for entry in self.entries(prefix))
        return {name for name in found if name.count("/") == parts and name.endswith(f"/{last}")}

    def put(self, contents: Mapping[str, tuple[Path, FileRecord]], *, rehash: bool) -> None:
        lacking = self.problems({name: record for name, (_, record) in contents.items()}, rehash=rehash).keys()
        renewed = self._each(self.renew, contents.keys() - lacking)
        self._each(lambda name: self._put(name, *contents[name]), contents.keys() - {n for n in renewed if renewed[n]})
        self._cache.trim()

    def problems(self, contents: Mapping[str, FileRecord], *, rehash: bool) -> dict[str, str]:
        found = self._each(lambda name: self._problem(name, contents[name], rehash), contents)
        problems = {name: problem for name, problem in found.items() if problem}
        if problems:
            with self._asking("cannot be read"):
                find_bucket(self._client, self.url)
        return problems

    def fetch(self, contents: Mapping[str, FileRecord]) -> dict[str, Path]:
        paths = {name: self._cache.get(record.sha256) for name, record in contents.items()}
        missing = [name for name, path in paths.items() if path is None]
        fetched = self._each(lambda name: self._fetch(name, contents[name]), missing)
        if fetched:
            self._cache.trim()
        return {name: path for name, path in paths.items() if path is not None} | fetched

    def alone(self, name: str, on_wait: Callable[[], None]) -> AbstractContextManager[Hold]:
        return lease(self, f"locks/{name}", on_wait, self._lease_times)

    @cached_property
    def _client(self) -> Any:
        return s3_client(self._endpoint_url)

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self.url.bucket, "Key": self.url.key(name)}

    def _asking(self, what: str) -> AbstractContextManager[None]:
        return as_store_failures(f"store {self.address}", what)

    def _refused(self, why: str) -> InputError:
        return InputError(
            f"store {self.address}: cannot be used: {why}, and without that two machines could write over each other; "
            f"name another place ({PLACE_SETTINGS})"
        )

    def _each(self, work: Callable[[str], T], names: Iterable[str]) -> dict[str, T]:
        """Do it for every name, many at once; the first failure is raised."""
        listed = list(names)
        with ThreadPoolExecutor(min(REQUESTS_AT_ONCE, max(1, len(listed)))) as pool:
            return dict(zip(listed, pool.map(work, listed), strict=True))

    @staticmethod
    def _was_repeated(error: Any) -> bool:
        return bool(error.response.get("ResponseMetadata", {}).get("RetryAttempts"))

    def _written_by(self, name: str, writer: str) -> str | None:
        """The version, if this writer made it: an answer that got lost makes the second try meet its own first."""
        answer = self._client.head_object(**self._at(name))
        return str(answer["ETag"]) if answer["Metadata"].get("writer") == writer else None

    def _problem(self, name: str, record: FileRecord, rehash: bool) -> str | None:
        where = self.where(name)
        with self._asking(f"{name} cannot be read"):
            try:
                answer = self._client.head_object(**self._at(name))
                if answer["ContentLength"] != record.size:
                    return f"has {answer['ContentLength']} bytes instead of {record.size} ({where})"
                if answer["Metadata"].get("sha256") != record.sha256 or (
                    rehash and self._digest(name) != record.sha256
                ):
                    return f"its bytes have changed ({where})"
            except self._client.exceptions.ClientError as error:
                if error_code(error) not in _GONE:
                    raise
                return f"missing ({where})"
        return None

    def _digest(self, name: str) -> str:
        digest = hashlib.sha256()
        for chunk in self._client.get_object(**self._at(name))["Body"].iter_chunks(_CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest()

    def _put(self, name: str, source: Path, record: FileRecord) -> None:
        with self._asking(f"{name} could not be kept"), source.open("rb") as file:
            facts = {"Metadata": {"sha256": record.sha256}}
            self._client.upload_fileobj(file, **self._at(name), ExtraArgs=facts, Config=self._parts())
        self._cache.add(record.sha256, lambda unfinished: _link_or_copy(source, unfinished))

    def _parts(self) -> Any:
        from boto3.s3.transfer import TransferConfig

        return TransferConfig(multipart_threshold=self._part_bytes, multipart_chunksize=self._part_bytes)

    def _fetch(self, name: str, record: FileRecord) -> Path:
        def download(unfinished: Path) -> None:
            with self._asking(f"{name} cannot be read"), unfinished.open("wb") as file:
                try:
                    answer = self._client.get_object(**self._at(name))
                except self._client.exceptions.ClientError as error:
                    if error_code(error) not in _GONE:
                        raise
                    raise NotAsWritten(name, f"missing ({self.where(name)})") from error
                for chunk in answer["Body"].iter_chunks(_CHUNK_BYTES):
                    file.write(chunk)

        path = self._cache.add(record.sha256, download)
        if path is None:
            raise NotAsWritten(name, f"its bytes have changed ({self.where(name)})")
        return path


def _link_or_copy(source: Path, target: Path) -> None:
    """A stage's finished files are never written again, so both names may share their bytes."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
