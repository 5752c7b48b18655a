"""The remote system that resources are fetched from, over HTTP.

    GET <SOURCES_REMOTE_URL>/resources/<id>  ->  {"id": "r7", "version": 12, "content": "..."}

404 and 410 mean that the resource is gone.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from urllib.parse import quote

import httpx

from ops.core.errors import SettingsError
from ops.reference.errors import RemoteError

URL_VARIABLE = "SOURCES_REMOTE_URL"
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 10.0  # of silence: with the framework's retries still below its time limit of a message
_GONE = (404, 410)
_OPENING = Lock()


@dataclass(frozen=True)
class Fetched:
    """What the remote system gave."""

    version: int
    content: str


class Remote:
    """A client that keeps its connections; safe to share between threads.

    Parameters
    ----------
    url : where `/resources/<id>` is found below.
    """

    def __init__(self, url: str) -> None:
        try:
            base = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise SettingsError(f"no URL: {error}", where=URL_VARIABLE) from None
        if base.scheme not in ("http", "https") or not base.host:
            raise SettingsError(f"expected http://host:port, got {url!r}", where=URL_VARIABLE)
        self._url = url.rstrip("/")
        logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line a request
        self._client = httpx.Client(
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS), headers={"Accept": "application/json"}
        )

    def fetch(self, id: str) -> Fetched | None:
        """Fetch a resource; None if it is gone.

        Raises
        ------
        RemoteError : no answer in time, or none that can be used.
        """
        url = f"{self._url}/resources/{quote(id, safe='')}"
        try:
            response = self._client.get(url)
        except httpx.HTTPError as error:
            raise RemoteError(f"no answer: {error or type(error).__name__}", where=url) from error
        if response.status_code in _GONE:
            return None
        if response.status_code != httpx.codes.OK:
            raise RemoteError(f"answered {response.status_code} {response.reason_phrase}", where=url)
        try:
            data = response.json()
            version, content = data["version"], data["content"]
        except (ValueError, KeyError, TypeError) as error:
            raise RemoteError(f"no such answer was asked for: {response.text[:200]!r}", where=url) from error
        if not isinstance(version, int) or isinstance(version, bool) or not isinstance(content, str):
            raise RemoteError(f"version must be a number, content a text: {response.text[:200]!r}", where=url)
        return Fetched(version, content)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def open_remote() -> Remote:
    """Give this process's client for the system that SOURCES_REMOTE_URL names.

    Raises
    ------
    SettingsError : it is not set, or no URL.
    """
    url = os.environ.get(URL_VARIABLE, "")
    if not url:
        raise SettingsError("missing", where=URL_VARIABLE, hint=f"for example {URL_VARIABLE}=http://127.0.0.1:8900")
    with _OPENING:
        return _open(url)


@lru_cache(maxsize=1)
def _open(url: str) -> Remote:
    return Remote(url)
