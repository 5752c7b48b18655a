"""An operator as a process: takes the lease, prints its number, and holds it until it is told to go."""

from __future__ import annotations

import sys
import time

from ops.core.errors import OpsError, exit_code_of
from ops.fleet.lease import Lease
from ops.fleet.lease_host import LeaseHost
from ops.fleet.transport import Target
from ops.fleet.transport.local import LocalTransport


def main(shared: str, ttl_seconds: str, wait_seconds: str) -> int:
    """Return the exit code that a command would end with."""
    agent = (sys.executable, "-P", "-m", "ops.node")
    host = LeaseHost(LocalTransport(), Target("h1", "h1"), agent, shared)
    try:
        with Lease(host, "test", ttl_seconds=float(ttl_seconds), wait_seconds=float(wait_seconds)) as lease:
            print(lease.number, flush=True)
            time.sleep(120)
    except OpsError as error:
        print(error, flush=True)
        return exit_code_of(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
