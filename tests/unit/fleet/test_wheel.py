"""What hosts run of the tool, as a wheel."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from email import message_from_bytes

import ops
from ops.fleet.setup.wheel import own_wheel


def test_the_wheel_has_what_hosts_run_and_a_true_record() -> None:
    # When the running tool is packed
    wheel = own_wheel()
    archive = zipfile.ZipFile(io.BytesIO(wheel.content))
    names = archive.namelist()
    # Then the agent and what asks Kafka are in it, nothing of the operator's, and nothing that was compiled
    assert wheel.name == f"karafka_ops-{wheel.version}-py3-none-any.whl"
    assert {"ops/__init__.py", "ops/node/__main__.py", "ops/core/protocol.py", "ops/kafka/__main__.py"} <= set(names)
    assert {name.split("/")[1] for name in names if name.startswith("ops/")} == {"__init__.py", "core", "node", "kafka"}
    assert not {"ops/core/settings.py", "ops/core/section.py"} & set(names)
    assert not [name for name in names if "__pycache__" in name]
    # And RECORD tells the truth about every file
    record = archive.read(f"karafka_ops-{wheel.version}.dist-info/RECORD").decode().splitlines()
    assert len(record) == len(names)
    for line in record:
        name, digest, size = line.rsplit(",", 2)
        if digest:
            content = archive.read(name)
            assert int(size) == len(content)
            expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert digest == f"sha256={expected}"


def test_the_same_code_is_the_same_wheel() -> None:
    # When it is packed twice
    # Then nothing of the time or place is in it
    assert own_wheel().digest == own_wheel().digest


def test_the_wheel_says_its_version_and_what_hosts_need() -> None:
    # When the running tool is packed
    wheel = own_wheel()
    # Then the version is the package's, and of the requirements only what an agent needs is there
    assert wheel.version == ops.__version__
    assert sorted(one.split("[")[0].split("<")[0].split(">")[0] for one in wheel.requirements) == [
        "kafka-python",
        "psutil",
    ]
    # And pip takes it on the oldest interpreter that hosts may have, with these requirements alone
    archive = zipfile.ZipFile(io.BytesIO(wheel.content))
    fields = message_from_bytes(archive.read(f"karafka_ops-{wheel.version}.dist-info/METADATA"))
    assert fields["Requires-Python"] == ">=3.9"
    assert tuple(fields.get_all("Requires-Dist", ())) == wheel.requirements
