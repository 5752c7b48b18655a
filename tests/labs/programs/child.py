"""A command for tests to start: it behaves as its flags say."""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ops.core.identity import Identity
from ops.core.notify import Notifier

parser = argparse.ArgumentParser()
parser.add_argument("--say", default="")
parser.add_argument("--exit", type=int)
parser.add_argument("--not-ready", action="store_true")
parser.add_argument("--ready-after", type=float, default=0.0)
parser.add_argument("--ignore-term", action="store_true")
parser.add_argument("--drain-seconds", type=float, default=0.0)
parser.add_argument("--close-descriptors", action="store_true")
parser.add_argument("--children", type=int, default=0)
parser.add_argument("--stubborn-children", action="store_true")
parser.add_argument("--unless", type=Path, help="exit with what this file says, if it is there")
parser.add_argument("--state", default="", help="write the status record with this state")
options = parser.parse_args()


def write_state(state: str) -> None:
    path = Path(os.environ["KARAFKA_STATUS_FILE"])
    temporary = path.with_suffix(".new")
    own = Identity.own()
    temporary.write_text(json.dumps({"pid": own.pid, "start": own.start, "state": state}))
    temporary.replace(path)


def drain(_number: int, _frame: object) -> None:
    print("TERM", flush=True)
    if options.state:
        write_state("draining")
    time.sleep(options.drain_seconds)
    sys.exit(0)


signal.signal(signal.SIGTERM, signal.SIG_IGN if options.ignore_term else drain)
if options.say:
    print(options.say, flush=True)
print("environment", json.dumps(dict(os.environ)), flush=True)
if options.unless and options.unless.exists():
    sys.exit(options.unless.read_text())
if options.exit is not None:
    sys.exit(options.exit)
if options.close_descriptors:
    os.closerange(3, 256)
for _ in range(options.children):
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " if options.stubborn_children else ""
    child = subprocess.Popen(
        [sys.executable, "-c", f"{ignore}print('child up', flush=True); import time; time.sleep(300)"],
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
if options.state:
    write_state(options.state)
if not options.not_ready:
    time.sleep(options.ready_after)
    Notifier.from_environment().ready()
with contextlib.suppress(KeyboardInterrupt):
    time.sleep(300)
