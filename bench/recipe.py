"""capistrano-karafka's `karafka:restart`, written anew with Fabric: all processes of all hosts are ended, then started.

    python bench/recipe.py {start|restart} < JOB

INT, then a look every five seconds until the pidfiles are gone, then a start in the background; nothing waits for what
was started. All hosts at once; more lenient than the original, all processes of a host are told to end before the
first one is waited for. Each pidfile is removed by what wrote it, as soon as its process has ended.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence

from fabric import Connection, ThreadingGroup

STEP_SECONDS = 5
LIMIT_SECONDS = 60


def start_line(argv: Sequence[str], env: dict[str, str], pidfile: str, log: str) -> str:
    """Give the shell command that starts one process in the background, with a pidfile for as long as it lives."""
    command = shlex.join(["env", *(f"{name}={value}" for name, value in env.items()), *argv])
    inner = f"{command} & echo $! > {shlex.quote(pidfile)}; wait $!; rm -f {shlex.quote(pidfile)}"
    return f"setsid nohup sh -c {shlex.quote(inner)} < /dev/null >> {shlex.quote(log)} 2>&1 &"


def stop(group: ThreadingGroup, pidfiles: Sequence[str]) -> None:
    """End what runs, and wait until its pidfiles are gone."""
    names = shlex.join(pidfiles)
    group.run(f'for file in {names}; do [ -f "$file" ] && kill -INT $(cat "$file"); done; true', hide=True)
    until = time.monotonic() + LIMIT_SECONDS
    while any(result.stdout.strip() for result in group.run(f"ls {names} 2> /dev/null; true", hide=True).values()):
        if time.monotonic() > until:
            raise SystemExit(f"processes had not ended after {LIMIT_SECONDS} s")
        time.sleep(STEP_SECONDS)


def main() -> None:
    """Do what the one argument says to the hosts of the job."""
    job = json.load(sys.stdin)
    connections = [
        Connection(address, port=port, user=user, connect_kwargs={"key_filename": job["key"]})
        for address, port, user in job["hosts"]
    ]
    with ThreadingGroup.from_connections(connections) as group:
        if sys.argv[1] == "restart":
            stop(group, [one["pidfile"] for one in job["processes"]])
        group.run("\n".join(start_line(**one) for one in job["processes"]), hide=True)


if __name__ == "__main__":
    main()
