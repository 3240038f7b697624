"""Where DVC keeps contents, read without DVC and its locks: its cache on this machine, and its default remote.

A content's name is its md5, and it is hashed before it is used; so any number of workers may fetch at once.
"""

import configparser
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from model.errors import InputError
from tasks.dvc.folder_hash import file_md5
from tasks.files.addresses import parse_address, without_credentials
from tasks.files.names import proper_md5
from tasks.files.s3_url import SCHEME, S3Url
from tasks.files.spool import spooled
from tasks.project.settings import Settings
from tasks.store.blobs import StoreFailed
from tasks.store.probes import prove_folder, prove_s3
from tasks.store.s3 import REQUESTS_AT_ONCE, as_store_failures, error_code, find_bucket, s3_client

_READ_BY_DVC = {
    *("azure", "gdrive", "gs", "hdfs", "http", "https", "oss", "remote", "ssh", "webdav", "webdavs", "webhdfs")
}
_CLIENT_OPTIONS = {
    "profile": "profile_name",
    "access_key_id": "aws_access_key_id",
    "secret_access_key": "aws_secret_access_key",
    "session_token": "aws_session_token",
    "region": "region_name",
}
"""What a remote in DVC's configuration may say, and boto3's words for it."""


@dataclass(frozen=True, kw_only=True)
class FolderRemote:
    """A folder that all machines mount."""

    folder: Path

    @property
    def address(self) -> str:
        return str(self.folder)

    def size(self, md5: str) -> int | None:
        """Bytes of a content; None where there is none. Raises StoreFailed, as `copy` does."""
        try:
            return self._path(md5).stat().st_size
        except FileNotFoundError as error:
            if self.folder.is_dir():
                return None
            raise self._failed(error) from error
        except OSError as error:
            raise self._failed(error) from error

    def copy(self, md5: str, target: Path) -> bool:
        """Copy a content to a file; False where there is none."""
        if self.size(md5) is None:
            return False
        shutil.copyfile(self._path(md5), target)
        return True

    def probe(self) -> None:
        """Write, read back and remove something. Raises StoreFailed."""
        prove_folder("DVC remote", self.folder)

    def _path(self, md5: str) -> Path:
        return self.folder / _name(md5)

    def _failed(self, error: OSError) -> StoreFailed:
        said = f"DVC remote {self.address}: cannot be read: {error.strerror}; mend it, or the url in .dvc/config"
        return StoreFailed(said, retryable=not isinstance(error, FileNotFoundError | NotADirectoryError))


@dataclass(frozen=True, kw_only=True)
class S3Remote:
    """A prefix of a bucket."""

    url: S3Url
    endpoint_url: str
    options: tuple[tuple[str, str], ...] = field(repr=False)  # may hold a key
    names_endpoint: bool = False
    """Whether .dvc/config itself says where S3 is; DVC's own commands read none of our settings."""

    @property
    def address(self) -> str:
        return str(self.url)

    def size(self, md5: str) -> int | None:
        """Bytes of a content; None where there is none. Raises StoreFailed, as `copy` does."""
        with as_store_failures(f"DVC remote {self.address}", f"{md5} cannot be read"):
            try:
                return int(
                    self._client.head_object(Bucket=self.url.bucket, Key=self.url.key(_name(md5)))["ContentLength"]
                )
            except self._client.exceptions.ClientError as error:
                if error_code(error) not in ("404", "NoSuchKey"):
                    raise
            find_bucket(self._client, self.url)
            return None

    def copy(self, md5: str, target: Path) -> bool:
        """Fetch a content into a file; False where there is none."""
        with as_store_failures(f"DVC remote {self.address}", f"{md5} cannot be read"):
            try:
                answer = self._client.get_object(Bucket=self.url.bucket, Key=self.url.key(_name(md5)))
            except self._client.exceptions.NoSuchKey:
                return False
            with target.open("wb") as file:
                shutil.copyfileobj(answer["Body"], file)
        return True

    def probe(self) -> None:
        """Write, read back and remove something. Raises StoreFailed."""
        prove_s3("DVC remote", self._client, self.url)

    @property
    def _client(self) -> Any:
        return _shared_client(self.endpoint_url, self.options, os.getpid())


@dataclass(frozen=True, kw_only=True)
class UnreadRemote:
    """A remote of a kind that only DVC itself reads."""

    address: str


@dataclass(frozen=True, kw_only=True)
class DvcStorage:
    """DVC's cache and its default remote, if it has one."""

    cache: Path
    remote: FolderRemote | S3Remote | UnreadRemote | None

    def cached(self, md5: str) -> Path:
        """Where the cache keeps a content, whether or not it does."""
        return self.cache / _name(md5)

    def size(self, md5: str) -> int | None:
        """Bytes of a content in the cache, else in the remote; None where neither has it. Raises StoreFailed."""
        cached = self.cached(md5)
        if cached.is_file():
            return cached.stat().st_size
        return None if self.remote is None or isinstance(self.remote, UnreadRemote) else self.remote.size(md5)

    def sizes(self, md5s: Iterable[str]) -> dict[str, int | None]:
        """Sizes of many, several at once."""
        listed = list(dict.fromkeys(md5s))
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            return dict(zip(listed, pool.map(self.size, listed), strict=True))

    def fetch(self, md5s: Iterable[str]) -> dict[str, Path]:
        """Contents in the cache, by md5, hashed; what it lacks, or has damaged, comes from the remote.

        Those that neither has are left out. Raises StoreFailed.
        """
        listed = list(dict.fromkeys(md5s))
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            found = dict(zip(listed, pool.map(self._fetch, listed), strict=True))
        return {md5: path for md5, path in found.items() if path is not None}

    def lacks(self) -> str:
        """In words, that a content is neither in the cache nor in the remote, and what may help."""
        if self.remote is None:
            return "and .dvc/config names no default remote to fetch it from"
        if isinstance(self.remote, UnreadRemote):
            return f"and the remote {self.remote.address} can be read by DVC alone"
        return f"and so does the remote {self.remote.address}: `dvc push` it from where it was added"

    def _fetch(self, md5: str) -> Path | None:
        cached = self.cached(md5)
        if _is(cached, md5):
            return cached
        if self.remote is None or isinstance(self.remote, UnreadRemote):
            return None
        try:
            with spooled(self.cache / "files" / "tmp") as unfinished:
                if not self.remote.copy(md5, unfinished) or not _is(unfinished, md5):
                    return None
                cached.parent.mkdir(parents=True, exist_ok=True)
                unfinished.chmod(0o444)
                return unfinished.replace(cached)
        except OSError as error:
            said = f"DVC's cache {self.cache}: cannot be written: {error.strerror}; mend it, or make room there"
            raise StoreFailed(said, retryable=False) from error


def dvc_storage(settings: Settings) -> DvcStorage:
    """As .dvc/config and .dvc/config.local say; relative folders there begin at .dvc/. Nothing is asked yet."""
    config = configparser.ConfigParser(interpolation=None)
    home = settings.root / ".dvc"
    config.read([home / "config", home / "config.local"], encoding="utf-8")
    cache = (home / config.get("cache", "dir", fallback="cache")).resolve()
    name = config.get("core", "remote", fallback="")
    section = f"'remote \"{name}\"'"
    if not name or not config.has_section(section):
        return DvcStorage(cache=cache, remote=None)
    remote = dict(config.items(section))
    url = remote.get("url", "")
    if url.startswith(SCHEME):  # DVC takes it in small letters alone, and another spelling for a folder
        options = tuple((ours, remote[theirs]) for theirs, ours in _CLIENT_OPTIONS.items() if theirs in remote)
        endpoint_url = remote.get("endpointurl", settings.s3_endpoint_url)
        return DvcStorage(
            cache=cache,
            remote=S3Remote(
                url=S3Url.parse(url),
                endpoint_url=endpoint_url,
                options=options,
                names_endpoint="endpointurl" in remote,
            ),
        )
    if url.partition("://")[0] in _READ_BY_DVC:
        return DvcStorage(cache=cache, remote=UnreadRemote(address=without_credentials(url)))
    try:
        folder = parse_address(url, also_s3=False)
    except ValueError as error:
        kinds = f"{SCHEME}, {'://, '.join(sorted(_READ_BY_DVC))}://"
        raise InputError(f"DVC remote '{name}' in .dvc/config: {error}, or one of {kinds} that DVC knows") from error
    return DvcStorage(cache=cache, remote=FolderRemote(folder=(home / str(folder)).resolve()))


@lru_cache
def _shared_client(endpoint_url: str, options: tuple[tuple[str, str], ...], process: int) -> Any:
    """One for a thousand concepts; none is handed to a child process."""
    return s3_client(endpoint_url, **dict(options))


def _name(md5: str) -> str:
    return f"files/md5/{proper_md5(md5)[:2]}/{md5[2:]}"


def _is(path: Path, md5: str) -> bool:
    """Whether the file is there with this content; a listing is named by its md5 and ".dir"."""
    return path.is_file() and file_md5(path) == md5.removesuffix(".dir")
