"""What both ends of a warm handover agree on: the words between agent, shim, old and new process of a slot.

The version is the protocol's own: old and new process come from different releases, and the agent from a third place.
Source of the steps: docs/architecture.md, "Warm handover".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


HANDOVER = 1
"""The version of the protocol that this code speaks; the owner's status record names the one it speaks."""

STANDBY_VARIABLE = "KARAFKA_STANDBY"  # the version, for a process that has to wait for its slot
LOCK_VARIABLE = "KARAFKA_SLOT_LOCK"
PIDFILE_VARIABLE = "KARAFKA_PIDFILE"
RELEASE_VARIABLE = "KARAFKA_RELEASE"
DRAIN_VARIABLE = "KARAFKA_DRAIN_TIMEOUT_SECONDS"
NOTIFY_VARIABLE = "NOTIFY_SOCKET"  # sd_notify(3)
WATCHDOG_VARIABLE = "WATCHDOG_USEC"
FRESH_VARIABLE = "KARAFKA_FRESH_MEMBER"  # groups, separated by commas, that its static member leaves before it joins

PREPARE_SECONDS = 15.0
"""How long a replacement may take until it is warm; its own alarm ends it then, and so does the agent."""
KILL_WAIT_SECONDS = 5.0
"""How long the kernel may take to free the slot of an owner that was killed."""

CAPABLE: Final = "handover"  # key of the status record: the version
HANDING_OVER: Final = "handing over"  # state of the status record: it finishes its batch for its replacement

STANDBY_FIELD = "X_STANDBY"  # notified: warm, the owner is being asked
TAKEN_FIELD = "X_TAKEN"  # notified: the slot is its own, it joins
