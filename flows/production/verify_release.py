"""`conceptbooth verify-release`: what a production store holds and proves, with nothing but the public key."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.text import Text

from flows.lineage.verification import tell_verification
from flows.output.console import DONE, FAILED, print_json, results
from model.errors import InputError, WorkFailed
from tasks.files.s3_url import SCHEME, S3Url
from tasks.lineage.words import SHORT, size_words
from tasks.signing.keys import key_id, read_public_key
from tasks.store.blobs import Blobs
from tasks.store.folder_blobs import FolderBlobs
from tasks.verification.contents import HeldConcept, HeldRelease, contents_document, read_contents
from tasks.verification.releases import check_place

_CACHE_BYTES = 2**40


def verify_releases(address: str, key: Path, *, as_json: bool, page: Path | None = None) -> int:
    """Check a bucket or folder; the exit code says whether all of it is as it was signed. No project is needed.

    Raises:
        InputError: no such place, no key, no folder for the page, or nothing was ever promoted there.
        WorkFailed: the place does not answer, or the page cannot be written.
    """
    if page is not None and not page.resolve().parent.is_dir():
        raise InputError(f"--html {page}: there is no folder {page.parent}")
    public_key = read_public_key(key)
    with TemporaryDirectory() as scratch:
        place = _opened(address, Path(scratch))
        verification = check_place(place, public_key)
        contents = read_contents(place, public_key)
    fingerprint = key_id(public_key)
    if page is not None:
        from tasks.verification.page import write_place_page

        try:
            write_place_page(page, address, fingerprint, verification, contents)
        except OSError as error:
            raise WorkFailed(f"--html {page}: cannot be written: {error.strerror}") from error
    if as_json:
        newest = {concept.concept: concept.newest for concept in contents if concept.newest}
        facts = {"place": address, "key": fingerprint, **verification.to_json(), "newest_records": newest}
        print_json({**facts, "concepts": contents_document(contents)})
    else:
        _tell(contents)
        tell_verification(verification)
        if page is not None:
            results().print(Text.assemble(("Page  ", "bold"), str(page)), soft_wrap=True)
    return FAILED if verification.of("fault") else DONE


def _tell(contents: Sequence[HeldConcept]) -> None:
    console = results()
    for concept in contents:
        serves = "nothing serves" if concept.serves is None else f"version {concept.serves} serves"
        console.print(Text.assemble((concept.concept, "bold"), f"  {serves}"), soft_wrap=True)
        for release in concept.releases:
            console.print(Text(f"  {_release_words(release)}"), soft_wrap=True)
        if newest := concept.newest:
            # An older store, put back as a whole, is signed as well: what the newest record was has to be known
            # elsewhere.
            said = f"  newest record {newest['seq']} of {newest['at']}, sealed {newest['seal']}"
            console.print(Text(said, style="dim"), soft_wrap=True)


def _release_words(release: HeldRelease) -> str:
    signed = f"signed by key {release.signed_by}" if release.signed_by else "not signed by this key"
    held = [f"version {release.version}, {release.state}", f"release {release.id[:SHORT]}", signed]
    if release.problem is None:
        total = size_words(sum(file["bytes"] for file in release.files))
        held += [f"{len(release.files)} files of {total}", f"{len(release.images)} images"]
    return "; ".join(held)


def _opened(address: str, scratch: Path) -> Blobs:
    if not address.startswith(SCHEME):
        folder = Path(address).expanduser()
        if not folder.is_dir():
            raise InputError(f"{address}: there is no such folder; a bucket is written s3://bucket/prefix")
        return FolderBlobs(folder)
    from tasks.store.content_cache import ContentCache
    from tasks.store.s3_blobs import S3Blobs

    try:
        url = S3Url.parse(address)
    except ValueError as error:
        raise InputError(str(error)) from error
    return S3Blobs(url, ContentCache(scratch, _CACHE_BYTES))
