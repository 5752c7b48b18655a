"""What hosts run of the tool, as a wheel: what is installed here is what they get, registry or not."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import ops
from ops.core.errors import OpsError
from ops.core.interpreters import OLDEST_ON_HOSTS
from ops.core.records import dataclass

DISTRIBUTION = "karafka-ops"
ON_HOSTS = ("psutil", "kafka-python")  # of the tool's requirements; the rest is the operator's alone
PACKAGES = ("core", "node", "kafka")  # of ops; pip compiles what it installs, so newer syntax than a host's stays out
OPERATORS = frozenset(  # of these packages, never imported by an agent
    {"core/settings.py", "core/section.py", "core/section_errors.py", "core/tool.py"}
    | {"core/section_checks.py", "core/section_hints.py", "core/section_texts.py"}
    | {"core/section_topics.py", "core/section_words.py"}
)
_ROOT = Path(ops.__file__).parent
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file: the same content is the same wheel
_STEM = DISTRIBUTION.replace("-", "_")
_TAG = "py3-none-any"


@dataclass(frozen=True)
class Wheel:
    """A wheel and what it needs on a host.

    Attributes
    ----------
    digest : SHA-256 of its content, in hexadecimal.
    requirements : as pip takes them.
    """

    name: str
    version: str
    content: bytes
    requirements: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of its content."""
        return hashlib.sha256(self.content).hexdigest()


def own_wheel() -> Wheel:
    """Pack what hosts run of the running tool, wherever that was installed from.

    Raises
    ------
    OpsError : it runs without having been installed.
    """
    distribution = own_distribution()
    wanted = tuple(_plain(one) for one in distribution.requires or () if "extra ==" not in one)
    needed = tuple(one for one in wanted if any(one.startswith(name) for name in ON_HOSTS))
    version = distribution.version
    files = {f"ops/{path}": (_ROOT / path).read_bytes() for path in host_files()}
    content = packed_wheel(version, files, {"METADATA": _metadata(version, needed).encode()})
    return Wheel(wheel_name(version), version, content, needed)


def own_distribution() -> metadata.Distribution:
    """Return the running tool as it is installed.

    Raises
    ------
    OpsError : it runs without having been installed.
    """
    try:
        return metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        hint = "pip install its checkout or its wheel; a bare checkout is no version"
        raise OpsError(f"{DISTRIBUTION} is not installed here", hint=hint) from None


def wheel_name(version: str) -> str:
    """Return the file name of the tool's wheel."""
    return f"{_STEM}-{version}-{_TAG}.whl"


def packed_wheel(version: str, files: Mapping[str, bytes], notes: Mapping[str, bytes]) -> bytes:
    """Pack files and the notes of their .dist-info as a wheel; WHEEL and RECORD are added.

    Parameters
    ----------
    files : path in the wheel -> content.
    notes : path below the .dist-info -> content; METADATA is one of them.
    """
    folder = f"{_STEM}-{version}.dist-info"
    content = {**files, **{f"{folder}/{name}": text for name, text in notes.items()}}
    content[f"{folder}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: {DISTRIBUTION}\nRoot-Is-Purelib: true\nTag: {_TAG}\n".encode()
    )
    content[f"{folder}/RECORD"] = _record(content, f"{folder}/RECORD")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text)
    return packed.getvalue()


def host_files() -> Iterator[str]:
    """Return the files that hosts get, relative to the package."""
    yield "__init__.py"
    for package in PACKAGES:
        for path in sorted((_ROOT / package).rglob("*")):
            name = path.relative_to(_ROOT).as_posix()
            if path.is_file() and "__pycache__" not in path.parts and name not in OPERATORS:
                yield name


def _metadata(version: str, requirements: tuple[str, ...]) -> str:
    """Return METADATA for hosts: the tool's own asks for the operator's interpreter and libraries."""
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {DISTRIBUTION}",
        f"Version: {version}",
        "Summary: What hosts run of karafka-ops: the agent, and what asks Kafka",
        "License: MIT",
        f"Requires-Python: >={'.'.join(map(str, OLDEST_ON_HOSTS))}",
        *(f"Requires-Dist: {one}" for one in requirements),
    ]
    return "".join(f"{line}\n" for line in lines)


def _record(files: dict[str, bytes], own: str) -> bytes:
    """Return RECORD (PyPA's specification of recorded installed projects): name, hash and size of every file."""
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    return "".join(f"{line}\n" for line in [*lines, f"{own},,"]).encode()


def _plain(requirement: str) -> str:
    """Return a requirement without its environment marker's blank padding."""
    return requirement.split(";")[0].strip().replace(" ", "")
