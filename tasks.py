"""`inv`: this host, the app, the sandbox (ops.tasks), and this project's own chores (make)."""

from ops.tasks import namespace as ns  # noqa: F401
