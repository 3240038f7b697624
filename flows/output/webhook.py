"""Telling somebody about a night: its summary by POST to the address in the settings."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from tasks.project.settings import Settings

PAUSES = (0.0, 2.0, 8.0)
"""Seconds before each try."""
_ANSWER_SECONDS = 20


class _NoDetours(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, and take the token along to a stranger."""

    def redirect_request(self, *_: Any) -> None:
        return None


def post_summary(
    settings: Settings, summary: Mapping[str, Any], sleep: Callable[[float], None] = time.sleep
) -> str | None:
    """Send the summary, if the settings say where; what went wrong, or None. Never raises: the night is done anyhow.

    What is said names the host alone, because such addresses hold secrets.
    """
    url = settings.notify_url.get_secret_value()
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        return "the summary was not sent: the setting notify_url is no http:// or https:// address"
    place = f"{host}:{port}" if port else host
    problem = None
    for pause in PAUSES:
        sleep(pause)
        problem, worth_another = _post(url, settings.notify_token.get_secret_value(), summary)
        if problem is None or not worth_another:
            break
    return problem and f"the summary was not sent: {place} {problem}"


def _post(url: str, token: str, summary: Mapping[str, Any]) -> tuple[str | None, bool]:
    """What went wrong, and whether another try may help."""
    headers = {"Content-Type": "application/json", "User-Agent": "conceptbooth"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        body = json.dumps(summary, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:  # a score that is no number, or text that is no Unicode
        return f"was not asked, because the summary cannot be written as JSON: {error}", False
    try:
        request = urllib.request.Request(url, data=body, headers=headers, method="POST")
        with urllib.request.build_opener(_NoDetours).open(request, timeout=_ANSWER_SECONDS):
            return None, False
    except urllib.error.HTTPError as error:
        with error:
            return f"answers {error.code}", error.code == 429 or error.code >= 500
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        return f"does not answer: {getattr(reason, 'strerror', None) or type(reason).__name__}", True
    except ValueError:  # an address or token with characters that HTTP does not know
        return "cannot be asked: the address or the token holds characters that HTTP does not allow", False
