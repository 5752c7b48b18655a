"""What systemd makes of env files, held against our own reading of them."""

from __future__ import annotations

import base64
import json
import random

import pytest

from ops.core import envfile
from ops.core.envfile import EnvFileError
from ops.sandbox.nspawn import PYTHON, SystemdHost

FOLDER = "/run/env-files"
OWN = {"PATH", "LANG", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "USER", "LOGNAME", "HOME", "SHELL"}
TRY = """
import base64, json, pathlib, subprocess, sys
folder = pathlib.Path(sys.argv[1])
folder.mkdir()
files = json.load(sys.stdin)
for number, data in enumerate(files):
    (folder / f"{number}.env").write_bytes(base64.b64decode(data))
subprocess.run(["systemctl", "daemon-reload"], check=True)
units = [f"env-file@{number}.service" for number in range(len(files))]
for begin in range(0, len(units), 50):
    subprocess.run(["systemctl", "start", *units[begin:begin + 50]], check=True)
read = [(folder / f"{number}.out").read_bytes() for number in range(len(files))]
json.dump([base64.b64encode(one).decode() for one in read], sys.stdout)
"""
UNIT = f"""[Service]
Type=oneshot
EnvironmentFile=-{FOLDER}/%i.env
ExecStart=/usr/bin/env -0
StandardOutput=truncate:{FOLDER}/%i.out
"""
PARTS = (
    *("A", "B", "B_1", "export ", "1", "=", "==", " ", "  ", "\t", "\n", "\n\n", "\r\n", "\r", "'", '"', "\\", "\\\n"),
    *("#", ";", " #", "$A", "`", "\\$", "x", "é", "\ufeff", "a b", "\x1b[1m", "\x07", "\x7f", "\u0085", "\u202e", "-"),
    *("A=", "B=", "\nA=", "\nB=", "\nC='", '\nD="', "\n#", "\U0010fffd", "'\n", '"\n'),
    *("\ufffe", "\U0010ffff", b"\0", b"\xff", b"\xed\xa0\x80"),
)
_REFUSED = 5  # the last ones of them, for which systemd takes nothing of a file
PINNED = (
    *(b"A=\xff\nB=1", b"#\xff\nA=1", b"A=1\0\n", b"\xef\xbb\xbfA=1\nB=2", b"export A=1\nB=2", b"A=b # c", b'A="b" # c'),
    *(b"A='b'c", b"A=b'c'", b'A="a" "b"', b"A='x", b'A="x\nB=2', b"A=x\\", b"A=x  \\", b"A=x\\\ny", b"# c\\\nA=1\nB=2"),
    *(
        b"=x\nB=1",
        b"==x\nB=1",
        b"A",
        b"A=1\rB=2",
        b"A=\\\r\nB=2",
        b'A="x\\\ny"',
        b"A='x\\\ny'",
        b"A=\x1b",
        b"A=a\tb \t",
    ),
    *(
        b"A = 1",
        b"A.B=1\nB=2",
        b"A=\xef\xbf\xbe",
        b"A=\xed\xa0\x80",
        b"A='a\rb'",
        b"A=a\rB=b",
        b"A=1\nA=2",
        b"A=x \\\n  ",
    ),
)


def cases(count: int, seed: int) -> list[bytes]:
    """Return many env files, the pinned ones first; most of them assign something, few are refused as a whole."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        parts = PARTS if number % 10 == 0 else PARTS[:-_REFUSED]
        one = [*chance.choice(((), ("A=",), ("A=1\nB=",))), *chance.choices(parts, k=chance.randint(1, 14))]
        made.append(b"".join(part if isinstance(part, bytes) else part.encode() for part in one))
    return [*PINNED, *made]


def ours(data: bytes) -> dict[str, str]:
    try:
        return envfile.parse(data)
    except EnvFileError:
        return {}  # as EnvironmentFile=- has it


@pytest.mark.soak
def test_an_env_file_is_read_as_systemd_reads_it(systemd_host: SystemdHost) -> None:
    # Given many env files on a host, and a unit for each that prints its environment
    systemd_host.write("/run/systemd/system/env-file@.service", UNIT)
    files = cases(500, 4711)
    # When all are started
    data = json.dumps([base64.b64encode(one).decode() for one in files])
    found = json.loads(systemd_host.run(PYTHON, "-c", TRY, FOLDER, data=data).stdout)
    # Then each has what we read in its file
    wrong = []
    for number, (file, said) in enumerate(zip(files, found, strict=True)):
        lines = [line.partition("=") for line in base64.b64decode(said).decode(errors="surrogateescape").split("\0")]
        theirs = {name: value for name, _, value in lines if name and name not in OWN}
        if theirs != ours(file):
            wrong.append((number, file, theirs, ours(file)))
    assert wrong == []
