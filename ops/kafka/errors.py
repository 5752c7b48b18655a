"""What can go wrong when the cluster is asked; a cluster that does not answer is an UnreachableError (exit 4)."""

from __future__ import annotations

from ops.core.errors import OpsError


class ClusterError(OpsError):
    """A request that the brokers refuse: not authorised, not supported."""
