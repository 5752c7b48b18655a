"""A pipeline's step that installs the tool, run by real pip, between an index of the company's and the public one."""

from __future__ import annotations

import hashlib
import io
import ipaddress
import os
import re
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pip
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ruamel.yaml import YAML

from ops.core.settings import ToolIndex
from ops.render.pipelines import pipeline_file

VERSION = "1.2.3"
NAME = f"karafka_ops-{VERSION}-py3-none-any.whl"


def wheel(name: str, version: str, code: str, needs: str = "") -> bytes:
    """Return a wheel of one module, which prints what it is when it is run."""
    notes = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": code,
        f"{notes}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{notes}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{notes}/RECORD": "",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return packed.getvalue()


OWN = wheel("karafka_ops", VERSION, "import leaf; print('own', leaf.VERSION)", "Requires-Dist: leaf>=2,<3\n")
STRANGE = wheel("karafka_ops", VERSION, "print('strange')")
LEAVES = {version: wheel("leaf", version, f"VERSION = {version!r}") for version in ("1.0", "2.5", "3.0")}
HASH = hashlib.sha256(OWN).hexdigest()


class Servers(ThreadingHTTPServer):
    """Two indexes behind TLS: the company's below /own, which has the tool, and the public one, where all is strange.

    Attributes
    ----------
    files : path -> content.
    asked : paths, in the order of the requests.
    """

    daemon_threads = True

    def __init__(self, certificate: Path) -> None:
        self.asked: list[str] = []
        self.files = {
            f"/own/{NAME}": OWN,
            f"/public/{NAME}": STRANGE,
            "/public/karafka_ops-99.0-py3-none-any.whl": wheel("karafka_ops", "99.0", "print('strange')"),
            **{f"/public/leaf-{version}-py3-none-any.whl": content for version, content in LEAVES.items()},
        }
        super().__init__(("127.0.0.1", 0), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    def page(self, index: str, project: str) -> bytes:
        """Return the page of a project in an index (PyPA's simple repository API)."""
        stem = project.replace("-", "_")
        names = [path.rpartition("/")[2] for path in self.files if path.startswith(f"/{index}/{stem}-")]
        return "".join(f'<a href="/{index}/{name}">{name}</a>' for name in names).encode()


class _Handler(BaseHTTPRequestHandler):
    server: Servers

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        listed = re.fullmatch(r"/(\w+)/simple/([a-z-]+)/", self.path)
        content = self.server.page(*listed.groups()) if listed else self.server.files.get(self.path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Type", "text/html" if listed else "application/octet-stream")
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("certificate") / "server.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def servers(certificate: Path) -> Iterator[Servers]:
    with Servers(certificate) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Runner:
    """A machine with Python and pip alone, whose own index is the public one."""

    def __init__(self, folder: Path, certificate: Path, servers: Servers) -> None:
        self.project = folder / "project"
        self.project.mkdir()
        venv = folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=60)
        self.python = venv / "bin/python"
        (packages,) = venv.glob("lib/python*/site-packages")
        (packages / "pip").symlink_to(Path(pip.__file__).parent)
        self.env = {
            "PATH": f"{venv}/bin:{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "TMPDIR": str(folder),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_CERT": str(certificate),
            "PIP_INDEX_URL": f"{servers.url}/public/simple/",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_CACHE_DIR": "1",
            "PIP_NO_COMPILE": "1",
            "PIP_RETRIES": "0",
        }

    def install(self, kind: str, tool: str | ToolIndex) -> subprocess.CompletedProcess[str]:
        """Run the step that installs the tool."""
        names = {"application": "a", "branch": "main", "stages": ["production"], "default": "production"}
        text = pipeline_file(kind, tool=tool, version=VERSION, **names).text
        pipeline = YAML(typ="safe").load(text)
        if kind == "github":
            steps = pipeline["jobs"]["deploy-production"]["steps"]
            (script,) = [step["run"] for step in steps if step.get("name") == "Install the tool"]
        else:
            script = "\n".join(pipeline[".deploy"]["before_script"])
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script], cwd=self.project, env=self.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def installed(self) -> str:
        """Return what the installed tool says that it is; empty for none."""
        argv = [self.python, "-m", "karafka_ops"]
        return subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=60, check=False).stdout


@pytest.fixture
def runner(tmp_path: Path, certificate: Path, servers: Servers) -> Runner:
    return Runner(tmp_path, certificate, servers)


def tool_from(place: str, runner: Runner, servers: Servers, digest: str = HASH) -> str | ToolIndex:
    """Return the setting for a tool in the project, at a URL or in the company's index."""
    if place == "project":
        path = runner.project / ".karafka/tool" / NAME
        path.parent.mkdir(parents=True)
        path.write_bytes(OWN)
        return f".karafka/tool/{NAME}"
    if place == "url":
        return f"{servers.url}/own/{NAME}#sha256={digest}"
    return ToolIndex(index=f"{servers.url}/own/simple/", sha256=digest)


@pytest.mark.parametrize(
    ("kind", "place"),
    [("github", "project"), pytest.param("gitlab", "url", marks=pytest.mark.soak), ("github", "index")],
)
def test_the_named_tool_is_installed_and_nobody_asks_the_public_index_for_it(
    kind: str, place: str, runner: Runner, servers: Servers
) -> None:
    # Given somebody who has registered the tool's name at the public index, in this version and a later one
    tool = tool_from(place, runner, servers)
    # When the pipeline installs the tool
    done = runner.install(kind, tool)
    # Then it is the one that the settings name, with what it needs in the version that it takes
    assert done.returncode == 0, done.stdout + done.stderr
    assert runner.installed() == "own 2.5\n"
    # And the public index was asked for what the tool needs, never for the tool
    asked = [path for path in servers.asked if path.startswith("/public/")]
    assert asked == ["/public/simple/leaf/", "/public/leaf-2.5-py3-none-any.whl"]


@pytest.mark.parametrize(
    ("kind", "place"), [("gitlab", "url"), pytest.param("github", "index", marks=pytest.mark.soak)]
)
def test_another_content_under_the_same_name_is_not_installed(
    kind: str, place: str, runner: Runner, servers: Servers
) -> None:
    # Given a server that has another wheel in the place of the named one
    servers.files[f"/own/{NAME}"] = STRANGE
    # When the pipeline installs the tool
    done = runner.install(kind, tool_from(place, runner, servers))
    # Then the step fails, and nothing of it is there
    assert done.returncode != 0
    assert "hash" in (done.stdout + done.stderr).lower()
    assert HASH in done.stdout + done.stderr
    assert runner.installed() == ""
