"""A foreign command whose children have sessions of their own; each writes its pid into a file named after it.

leaver.py FOLDER [NAME ...]: `plain` ends on TERM, `stubborn` ignores it, `orphan` has no parent left, `respawn` starts
another one when it gets TERM, `bare` has an empty environment. Ignores TERM itself where a name is `deaf`.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

folder, *names = sys.argv[1:]


def note(name: str) -> None:
    path = Path(folder) / name
    path.with_suffix(".new").write_text(str(os.getpid()))
    path.with_suffix(".new").replace(path)


def be(name: str) -> None:
    """Live as one of the children."""
    if name == "orphan" and os.fork():
        os._exit(0)
    os.setsid()
    if name == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if name == "respawn":

        def again(*_: object) -> None:
            subprocess.Popen([sys.executable, __file__, folder, "--be", "stubborn"])
            sys.exit(0)

        signal.signal(signal.SIGTERM, again)
    note(name)
    time.sleep(300)


if names[0] == "--be":
    be(names[1])
wanted = [name for name in names if name != "deaf"]
for name in wanted:
    subprocess.Popen([sys.executable, __file__, folder, "--be", name], env={} if name == "bare" else None)
if "deaf" in names:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
while not all((Path(folder) / name).exists() for name in wanted):
    time.sleep(0.01)
note("up")
time.sleep(300)
