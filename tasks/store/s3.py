"""S3 by boto3, at any address that speaks it: credentials are AWS's own (its variables, profiles, roles)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from tasks.files.addresses import without_credentials
from tasks.files.s3_url import S3Url
from tasks.store.blobs import StoreFailed

REQUESTS_AT_ONCE = 16
_CONNECT_SECONDS, _READ_SECONDS, _TRIES = 5, 60, 4
_CREDENTIALS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_REASONS = {
    "NoSuchBucket": "the bucket does not exist; create it, or name another one",
    "InvalidAccessKeyId": f"the access key is unknown; {_CREDENTIALS}",
    "SignatureDoesNotMatch": f"the secret key is wrong; {_CREDENTIALS}",
    "ExpiredToken": f"the credentials have expired; {_CREDENTIALS} and AWS_SESSION_TOKEN",
    "AccessDenied": "not allowed; the credentials need s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and "
    f"s3:DeleteObject below the prefix; {_CREDENTIALS}",
    "PermanentRedirect": "the bucket is in another region; set AWS_DEFAULT_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_DEFAULT_REGION",
}
_SAME = {"403": "AccessDenied", "Forbidden": "AccessDenied", "301": "PermanentRedirect"}  # an answer without a body
_WAITING_HELPS = {"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "ConditionalRequestConflict"}


def s3_client(endpoint_url: str = "", **session_options: str) -> Any:
    """A client of boto3's; nothing is asked yet. Without an address, AWS's variables decide, else it is Amazon."""
    import boto3
    from botocore.config import Config

    elsewhere = endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    session = boto3.session.Session(botocore_session=_botocore_session(), **session_options)
    client = session.client(
        "s3",
        endpoint_url=endpoint_url or None,
        region_name=session.region_name or "us-east-1",
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _TRIES},
            max_pool_connections=2 * REQUESTS_AT_ONCE,
            # A host of one's own seldom has a name in the DNS for every bucket.
            s3={"addressing_style": "path" if elsewhere else "auto"},
        ),
    )
    client.meta.events.register("before-call.s3.HeadBucket", _ask_once)
    return client


def _ask_once(context: dict[str, Any], **_: Any) -> None:
    """Sent elsewhere, boto3 asks where the bucket is, and sent elsewhere by that answer too, it would ask for ever."""
    context.setdefault("s3_redirect", {})["redirected"] = True


def _botocore_session() -> Any:
    """One of its own for every client, with credentials as they are now; all read the description of S3 once."""
    import botocore.session

    session = botocore.session.Session()
    session.register_component("data_loader", _data_loader())
    return session


@cache
def _data_loader() -> Any:
    """It keeps what it read: a client takes milliseconds then, and a tenth of a second otherwise."""
    from botocore.loaders import create_loader

    return create_loader()


def find_bucket(client: Any, url: S3Url) -> None:
    """Raise boto3's error where there is no bucket: asked about one object, S3 answers as if only that were missing."""
    client.list_objects_v2(Bucket=url.bucket, Prefix=url.prefix, MaxKeys=1)


def error_code(error: Exception) -> str:
    """S3's word for what went wrong, such as "NoSuchKey"; empty for anything that is no answer of S3's."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def _redirect(error: Any, status: int) -> str | None:
    """What an answer means that sends us elsewhere: another region, or another address."""
    if status not in (301, 302, 303, 307, 308):
        return None
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    body = error.response["Error"]
    region = headers.get("x-amz-bucket-region") or body.get("Region")
    place = headers.get("location") or body.get("Endpoint")
    ours = os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION") or "us-east-1"
    sent = f"{status}: sends us elsewhere" + (f", to {without_credentials(place)}" if place else "")
    there = f"it is in region {region}, we ask in {ours}" if region else f"we ask in region {ours}"
    return f"{sent}; {there}: set AWS_DEFAULT_REGION, or the address of S3 (CONCEPTBOOTH_S3_ENDPOINT_URL)"


@contextmanager
def as_store_failures(place: str, what: str) -> Iterator[None]:
    """Inside, S3 is asked: what it refuses, and that it does not answer, becomes one StoreFailed with a way out."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, IncompleteReadError

    try:
        yield
    except ClientError as error:
        code = _SAME.get(error_code(error), error_code(error))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        retryable = (status >= 500 and status != 501) or status in (408, 429) or code in _WAITING_HELPS
        reason = (
            _redirect(error, status)
            or _REASONS.get(code)
            or f"{status} {error_code(error)}: {error.response['Error'].get('Message', '')}"
        )
        raise StoreFailed(f"{place}: {what}: {reason}", retryable=retryable) from error
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
        said = f"{place}: {what}: no answer: {error}"
        raise StoreFailed(said, retryable=True) from error
    except BotoCoreError as error:  # no credentials, a profile that is not there: it never came to a question
        raise StoreFailed(f"{place}: {what}: {error}; {_CREDENTIALS}", retryable=False) from error
