"""What a process says as its unit's restrictions end it, and what is said of that."""

from __future__ import annotations

import pytest

from ops.core.keeping import Keeping
from ops.node.sandboxing import hint

KEPT = Keeping("systemd", "shop")


@pytest.mark.parametrize(
    ("line", "directive"),
    [
        ("OSError: [Errno 97] Address family not supported by protocol", "RestrictAddressFamilies=AF_NETLINK"),
        ("zmq.error.ZMQError: Address family not supported by protocol", "RestrictAddressFamilies=AF_NETLINK"),
        ("Error: uv_interface_addresses returned Unknown system error 97 EAFNOSUPPORT", "=AF_NETLINK"),
        ("socket: address family not supported by protocol", "RestrictAddressFamilies=AF_NETLINK"),
        ("Errno::EROFS: Read-only file system @ rb_sysopen - /var/cache/x", "ReadWritePaths=FOLDER"),
        ("PermissionError: [Errno 1] Operation not permitted", "SystemCallFilter=CALL"),
    ],
)
def test_a_refusal_is_known_by_its_words_and_named_with_its_drop_in(line: str, directive: str) -> None:
    # Given the last lines of a process that has failed
    said = hint(KEPT, ["Traceback (most recent call last):", line, "the end"])
    # Then what may be the reason is named with what allows it, by the command of the units' scope
    assert said.startswith("perhaps its unit ")
    assert said.endswith(f"{directive} in it")
    assert "systemctl edit karafka-shop@.service with [Service] " in said
    assert "systemctl --user edit" in hint(Keeping("systemd", "shop", "user"), [line])


@pytest.mark.parametrize("lines", [[], ["KeyError: 'NAME'"], ["connection refused", "exited with 97"]])
def test_of_any_other_failure_nothing_is_guessed(lines: list[str]) -> None:
    assert hint(KEPT, lines) == ""
