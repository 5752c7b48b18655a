"""Runs one command on many hosts the way Fabric itself offers: a job as JSON on standard input, all answers printed."""

from __future__ import annotations

import json
import sys

from fabric import Connection, ThreadingGroup


def main() -> None:
    """Run the command on every host."""
    job = json.load(sys.stdin)
    connections = [
        Connection(address, port=port, user=user, connect_kwargs={"key_filename": job["key"]})
        for address, port, user in job["hosts"]
    ]
    with ThreadingGroup.from_connections(connections) as group:
        for result in group.run(job["command"], hide=True).values():
            print(result.stdout)


if __name__ == "__main__":
    main()
