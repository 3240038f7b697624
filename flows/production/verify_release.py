"""`conceptbooth verify-release`: what a production store proves about itself, with nothing but the public key."""

from pathlib import Path
from tempfile import TemporaryDirectory

from rich.text import Text

from flows.lineage.verification import tell_verification
from flows.output.console import DONE, FAILED, print_json, results
from model.errors import InputError
from tasks.files.s3_url import SCHEME, S3Url
from tasks.production.ledger import concepts_in, examine_ledger
from tasks.signing.keys import read_public_key
from tasks.store.blobs import Blobs
from tasks.store.folder_blobs import FolderBlobs
from tasks.verification.releases import check_place

_CACHE_BYTES = 2**40


def verify_releases(address: str, key: Path, *, as_json: bool) -> int:
    """Check a bucket or folder; the exit code says whether all of it is as it was signed. No project is needed.

    Raises:
        InputError: no such place, no key, or nothing was ever promoted there.
        WorkFailed: the place does not answer.
    """
    public_key = read_public_key(key)
    with TemporaryDirectory() as scratch:
        place = _opened(address, Path(scratch))
        verification = check_place(place, public_key)
        # An older store, put back as a whole, is signed as well: what the newest record was has to be known elsewhere.
        heads = {concept: examine_ledger(place, concept)[0].head for concept in concepts_in(place)}
    newest = {concept: {"seq": head.seq, "seal": head.seal, "at": head.at} for concept, head in heads.items() if head}
    if as_json:
        print_json({"place": address, **verification.to_json(), "newest_records": newest})
    else:
        tell_verification(verification)
        for concept, record in newest.items():
            said = f"{concept}: newest record {record['seq']} of {record['at']}, sealed {record['seal']}"
            results().print(Text(said, style="dim"), soft_wrap=True)
    return FAILED if verification.of("fault") else DONE


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
