"""Which CPython the parts of the tool run on: hosts have what their distribution brings, the operator newer ones."""

from __future__ import annotations

from typing import Final

OLDEST_ON_HOSTS: Final = (3, 9)
"""Of the agent: ops.core without the settings, ops.node, ops.kafka."""

OLDEST: Final = (3, 11)
"""Of everything else: the operator's part, the consumer framework, the apps."""

NEWEST: Final = (3, 14)
"""That either is promised to run on."""
