"""Addresses in S3."""

import re
from dataclasses import dataclass
from typing import Self

SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, kw_only=True)
class S3Url:
    """A prefix in a bucket: `s3://bucket/prefix`."""

    bucket: str
    prefix: str
    """Without slashes at its ends; empty for the whole bucket."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `s3://bucket/prefix`. Raises ValueError."""
        bucket, _, prefix = text.removeprefix(SCHEME).partition("/")
        if not text.startswith(SCHEME) or not _BUCKET.fullmatch(bucket):
            raise ValueError(f"{text!r} is no address in S3; it has to look like s3://bucket/prefix")
        return cls(bucket=bucket, prefix=prefix.strip("/"))

    def key(self, name: str) -> str:
        """The bucket's key of what is called `name` below this address."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def name(self, key: str) -> str:
        """The inverse of `key`."""
        return key[len(self.prefix) + 1 :] if self.prefix else key

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")
