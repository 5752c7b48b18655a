"""The running tool as a wheel: what is installed here is what the hosts get, registry or not."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import ops
from ops.core.errors import OpsError

DISTRIBUTION = "karafka-ops"
ON_HOSTS = ("psutil", "kafka-python")  # of the tool's requirements; the rest is the operator's alone
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file: the same content is the same wheel
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
    """Pack the running tool, wherever it was installed from.

    Raises
    ------
    OpsError : it runs without having been installed.
    """
    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise OpsError(
            f"{DISTRIBUTION} is not installed here", hint="pip install it; a bare checkout is no version"
        ) from None
    version = distribution.version
    folder = f"{DISTRIBUTION.replace('-', '_')}-{version}.dist-info"
    files = dict(_package())
    files[f"{folder}/METADATA"] = (distribution.read_text("METADATA") or "").encode()
    files[f"{folder}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: {DISTRIBUTION}\nRoot-Is-Purelib: true\nTag: {_TAG}\n".encode()
    )
    files[f"{folder}/RECORD"] = _record(files, f"{folder}/RECORD")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    wanted = tuple(_plain(one) for one in distribution.requires or () if "extra ==" not in one)
    needed = tuple(one for one in wanted if any(one.startswith(name) for name in ON_HOSTS))
    return Wheel(f"{DISTRIBUTION.replace('-', '_')}-{version}-{_TAG}.whl", version, packed.getvalue(), needed)


def _package() -> Iterator[tuple[str, bytes]]:
    """Give the package's files; the templates of a checkout go where a wheel has them."""
    package = Path(ops.__file__).parent
    templates = package.parent / "templates"
    roots = [(package, "ops")]
    if not (package / "templates").is_dir() and templates.is_dir():
        roots.append((templates, "ops/templates"))
    for root, name in roots:
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{name}/{path.relative_to(root).as_posix()}", path.read_bytes()


def _record(files: dict[str, bytes], own: str) -> bytes:
    """Write RECORD (PyPA's specification of recorded installed projects): name, hash and size of every file."""
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    return "".join(f"{line}\n" for line in [*lines, f"{own},,"]).encode()


def _plain(requirement: str) -> str:
    """Give a requirement without its environment marker's blank padding."""
    return requirement.split(";")[0].strip().replace(" ", "")
