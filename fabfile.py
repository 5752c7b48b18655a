"""`fab`: the fleet, over SSH. As in a user's own fabfile, one line is all."""

from ops.fleet.tasks import namespace as ns  # noqa: F401
