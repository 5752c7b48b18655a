"""Sends one file to many hosts the way Fabric offers: `put` to one host after the other; a job as JSON on stdin."""

from __future__ import annotations

import json
import sys

from fabric import Connection


def main() -> None:
    """Put the file on every host."""
    job = json.load(sys.stdin)
    for address, port, user in job["hosts"]:
        with Connection(address, port=port, user=user, connect_kwargs={"key_filename": job["key"]}) as connection:
            print(connection.put(job["file"], remote=job["remote"]).remote)


if __name__ == "__main__":
    main()
