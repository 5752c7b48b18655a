"""`python -m ops.sandbox.asyncssh_server JSON`: a local host served by asyncssh, where OpenSSH isn't installed.

Behaves as the sandbox's sshd does: key log-in of one user, exec with stdin, stdout, stderr and exit status,
SFTP, local forwarding; a session begins in the host's home with little environment, and the end of a
connection ends no process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import Any

import asyncssh

from ops.sandbox.service import HostFiles

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # of sshd
_CHUNK_BYTES = 65536


class _Door(asyncssh.SSHServer):
    """One connection's log-in."""

    def __init__(self, files: HostFiles) -> None:
        self._files = files
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Remember the connection."""
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        """Read who may log in, anew each time; another user's name finds nobody."""
        assert self._connection is not None
        known = self._files.authorized_keys.read_text() if username == self._files.user else ""
        self._connection.set_authorized_keys(asyncssh.import_authorized_keys(known))
        return True

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:  # noqa: ARG002
        """Be the jump to another local host, and to nothing else."""
        return dest_host.startswith("127.") or dest_host == "localhost"


async def serve(files: HostFiles) -> None:
    """Serve one host until TERM."""

    async def session(process: asyncssh.SSHServerProcess[bytes]) -> None:
        await _run(process, files)

    server = await asyncssh.create_server(
        lambda: _Door(files),
        files.address,
        files.port,
        server_host_keys=[str(files.host_key)],
        process_factory=session,
        sftp_factory=True,
        allow_scp=True,
        encoding=None,
        line_editor=False,
        agent_forwarding=False,
        login_timeout=120,
    )
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    server.close()


async def _run(process: asyncssh.SSHServerProcess[bytes], files: HostFiles) -> None:
    """Run one command and pass its streams and its end on."""
    argv = ["/bin/sh", "-c", process.command] if process.command else ["/bin/sh"]
    (output, output_end), (errors, errors_end) = os.pipe(), os.pipe()
    try:
        child = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=output_end,
            stderr=errors_end,
            cwd=files.home,
            env=_environment(files, process),
            start_new_session=True,
        )
    finally:
        os.close(output_end)
        os.close(errors_end)
    assert child.stdin is not None
    feeding = asyncio.create_task(_feed(process.stdin, child.stdin))
    await asyncio.gather(_pass_on(output, process.stdout), _pass_on(errors, process.stderr))
    status = await child.wait()
    feeding.cancel()
    if status < 0:
        process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
    else:
        process.exit(status)


async def _feed(client: asyncssh.SSHReader[bytes], stdin: asyncio.StreamWriter) -> None:
    """Copy the client's bytes to the command, as long as both want it."""
    with suppress(asyncssh.Error, OSError):
        while data := await client.read(_CHUNK_BYTES):
            stdin.write(data)
            await stdin.drain()
    stdin.close()


async def _pass_on(pipe: int, client: asyncssh.SSHWriter[bytes]) -> None:
    """Copy a pipe's bytes to the client; once the client has gone, close it, so that the writer gets SIGPIPE."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", buffering=0)
    )
    with suppress(asyncssh.Error, OSError):
        while data := await reader.read(_CHUNK_BYTES):
            client.write(data)
            await client.drain()
    transport.close()


def _environment(files: HostFiles, process: asyncssh.SSHServerProcess[bytes]) -> dict[str, str]:
    peer: Any = process.get_extra_info("peername")
    own = {"USER": files.user, "LOGNAME": files.user, "SHELL": "/bin/sh", "PATH": _PATH}
    connection = f"{peer[0]} {peer[1]} {files.address} {files.port}"
    return {**own, **files.environment(), "SSH_CONNECTION": connection}


if __name__ == "__main__":
    host = HostFiles.decode(sys.argv[1])
    os.chdir(host.home)  # where SFTP begins
    asyncio.run(serve(host))
