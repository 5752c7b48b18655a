"""A transport for flows whose agents are no part of the promise: what they are asked is carried out in the test."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence

from ops.core.deadline import Deadline
from ops.core.protocol import Event, Request, Response, encode_line
from ops.fleet.transport import Exit, Input, Target, parts_of
from ops.node.agent import carry_out
from ops.node.payload import Payload


class AgentsInProcess:
    """This machine in the role of every host, without a process for each request; both ways are encoded as ever."""

    def execute(
        self,
        target: Target,  # noqa: ARG002
        command: Sequence[str],  # noqa: ARG002
        data: Input,
        receive: Callable[[bytes], None],
        deadline: Deadline,  # noqa: ARG002
    ) -> Exit:
        """Carry out one request; see `Transport`."""
        line, _, rest = b"".join(parts_of(data)).partition(b"\n")
        lock = threading.Lock()  # steps tell from several threads

        def send(message: Event | Response) -> None:
            with lock:
                receive(f"\n{encode_line(message)}\n".encode())

        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(rest)
            file.seek(0)
            send(carry_out(Request.decode(line.decode()), send, Payload(file.fileno())))
        return Exit(0)
