"""Where stores may lie, for the tests that hold for all of them."""

from dataclasses import dataclass
from pathlib import Path

from tasks.files.s3_url import S3Url
from tasks.store.blobs import Blobs
from tasks.store.content_cache import ContentCache
from tasks.store.folder_blobs import FolderBlobs
from tasks.store.manifest import Facts, Input
from tasks.store.s3_blobs import S3Blobs
from tasks.store.s3_lease import LeaseTimes
from tasks.store.store import Store

KEY = "a" * 64
QUICK = LeaseTimes(renew=0.2, take_over=1.5, look=0.05)


@dataclass(frozen=True)
class StoreLocation:
    """A store in a folder, or in a bucket with a cache in a folder."""

    folder: Path
    bucket: str | None = None

    def blobs(self, lease_times: LeaseTimes = QUICK, **options: object) -> Blobs:
        """As a process of its own opens it."""
        if self.bucket is None:
            return FolderBlobs(self.folder / "store")
        cache = ContentCache(self.folder / "cache", 2**30)
        return S3Blobs(S3Url(bucket=self.bucket, prefix="some/where"), cache, lease_times=lease_times, **options)

    def store(self) -> Store:
        return Store(self.blobs())

    def harm(self, address: str, content: bytes | None) -> None:
        """Do to one thing, by its full address, what nobody should; None removes it."""
        if self.bucket is None:
            path = Path(address)
            if path.exists():
                path.chmod(0o644)
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            return
        from tasks.store.s3 import s3_client

        url = S3Url.parse(address)
        if content is None:
            s3_client().delete_object(Bucket=url.bucket, Key=url.prefix)
        else:
            s3_client().put_object(Bucket=url.bucket, Key=url.prefix, Body=content)


def facts(key: str = KEY) -> Facts:
    """Of a stage that never ran."""
    return Facts(
        stage="train-1-embedding",
        key=key,
        inputs=(Input(kind="prepare", key="b" * 64, digest="c" * 64),),
        parameters={"learning_rate": 2e-6},
        code={"model.training.train": "0123"},
        packages={"torch": "2.13.0"},
        seed=0,
        numeric_policy={"device": "cpu"},
        device="cpu",
        wall_seconds=1.5,
    )


def written(folder: Path, **contents: str) -> Path:
    """A folder with these files; "__" in a name stands for "/"."""
    folder.mkdir(parents=True)
    for name, text in contents.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder
