"""Where a pipeline takes this tool from: a wheel in the project, or a URL or an index with the wheel's hash.

A bare name is none of them: whoever registers it at a public index would run code in every deploy. What is accepted
here holds no character that YAML, a shell or a pipeline's expressions give a meaning to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ops.core.settings import ToolIndex

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._+%~-]+"  # of a path; neither empty nor `.` nor `..`
_WHEEL = r"[A-Za-z0-9_.]+-[A-Za-z0-9_.+%]+(?:-[0-9][A-Za-z0-9_.]*)?(?:-[A-Za-z0-9_.]+){3}\.whl"
_PATH = re.compile(rf"(?:{_SEGMENT}/)*{_WHEEL}\Z")
_HASH = re.compile(r"[0-9a-f]{64}\Z")
_ADDRESS = re.compile(rf"https://{_HOST}/(?:{_SEGMENT}/)*{_WHEEL}\Z")
_INDEX = re.compile(rf"https://{_HOST}(?:/{_SEGMENT})*/?\Z")
_FRAGMENT = "#sha256="


def is_address(tool: str) -> bool:
    """Return whether a wheel is named by its URL, not by its path."""
    return "://" in tool


def troubles(tool: str | ToolIndex | None) -> Iterator[tuple[str, str]]:
    """Return what is wrong with the setting: the key, and what was expected."""
    if isinstance(tool, str):
        address, _, digest = tool.partition(_FRAGMENT)
        if not is_address(tool):
            if not _PATH.match(tool):
                wanted = "a wheel's path in the project, its URL with #sha256=HEX, or {index: URL, sha256: HEX}"
                yield "tool", f"expected {wanted}, got {tool!r}"
        elif not _ADDRESS.match(address):
            yield "tool", f"expected the https:// URL of a wheel, without a password, got {_shown(tool)!r}"
        elif not _HASH.match(digest):
            yield "tool", f"expected the wheel's hash at the end of its URL, {_FRAGMENT}HEX, got {_shown(tool)!r}"
    elif tool is not None:
        if not _INDEX.match(tool.index):
            yield "tool.index", f"expected an https:// URL, without a password, got {_shown(tool.index)!r}"
        if not _HASH.match(tool.sha256):
            yield "tool.sha256", f"expected 64 hexadecimal digits, got {tool.sha256!r}"


def _shown(address: str) -> str:
    """Return a URL as it may be printed: without what may be a password."""
    return re.sub(r"//.*@", "//...@", address, flags=re.DOTALL)
