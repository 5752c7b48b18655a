"""One step of a deploy on this host; see `ops.core.release.DeployAction`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from ops.core import retention
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.linked import REVISION
from ops.core.masking import SECRETS
from ops.core.protocol import Event, Request
from ops.core.records import replace
from ops.core.release import CHANGING, HOOK_FILE, LISTING, DeployAction, DeployAnswer, DeployCall, Release
from ops.node import audit, building, extraction, fitness, hook_file, lfs, linking, resident, sources, streaming
from ops.node.archive_paths import shown_name
from ops.node.payload import Payload
from ops.node.releases import Releases
from ops.node.turn import Permit

_HOOK_BYTES = 1 << 16


def deploy(
    request: Request, call: DeployCall, emit: Callable[[Event], None], payload: Payload, permit: Permit
) -> DeployAnswer:
    """Do what is asked.

    Parameters
    ----------
    permit : asked inside the releases' lock, and now and then while something takes its time: what a dead operator
        has left must not be in the way of the next one.

    Raises
    ------
    LockHeldError : the lease has gone.
    OpsError : it could not be done; what had been there is there.
    """
    step = _Step(request, call, emit, payload, permit)
    began, trouble = time.monotonic(), ""
    try:
        answer = step.take()
    except OSError as error:
        trouble = f"{call.action}: {error.strerror or error}"
        raise OpsError(trouble, where=str(error.filename or "")) from error
    except OpsError as error:
        trouble = error.what
        raise
    finally:
        if call.action in CHANGING:
            took = time.monotonic() - began
            audit.note(step.releases.shared, call, request.fence, took, trouble, step.remarks)
    answer = replace(answer, remarks=tuple(step.remarks))
    if call.action not in LISTING:
        return answer
    there, current = step.releases.all(), step.releases.current()
    return replace(answer, current=current, previous=retention.previous_of(there, current), releases=there)


class _Step:
    def __init__(
        self, request: Request, call: DeployCall, emit: Callable[[Event], None], payload: Payload, permit: Permit
    ) -> None:
        self.releases = Releases(Path(call.deploy_to))
        self.remarks: list[str] = []
        self._request = request
        self._call = call
        self._emit = emit
        self._payload = payload
        self._release = self.releases.path(call.release)
        self._permit = permit
        self._run = partial(streaming.run, permit=permit)

    def take(self) -> DeployAnswer:
        """Take the step."""
        call, releases = self._call, self.releases
        if call.action is DeployAction.LIST:
            return DeployAnswer()
        if call.action is DeployAction.CHECK:
            self._settle()
            resident.claim(releases.shared, self._request.host, call.stage)
            found = fitness.troubles(releases, call)
            return DeployAnswer(troubles=found, done=() if found else (fitness.remark(releases),))
        args = (call.source, call.branch, releases.root, call.timeout_seconds)
        if call.action is DeployAction.RESOLVE and self._request.fence is None:
            return DeployAnswer(revision=sources.look_up(*args, self._tell, self._run))
        if call.action is DeployAction.RESOLVE:
            with releases.locked(self._permit):
                return DeployAnswer(revision=sources.resolve(*args, self._tell, self._run))
        if call.action is DeployAction.VERIFY:
            return self._verify()
        if call.action is DeployAction.HOOK:
            return self._hook()
        with releases.locked(self._permit):
            return self._take_locked()

    def _settle(self) -> None:
        """Let what a dead operator has left end, so that what is seen now stays so; a mere look waits for nobody."""
        if self._request.fence is not None:
            with suppress(OSError), self.releases.locked(self._permit):  # OSError: the check says what is wrong there
                pass

    def _take_locked(self) -> DeployAnswer:
        """Take a step that changes the releases, under their lock."""
        call, releases = self._call, self.releases
        if call.action is DeployAction.UPDATE:
            return self._update()
        if call.action is DeployAction.BUILD:
            return self._build()
        if call.action is DeployAction.PUBLISH:
            before = releases.publish(call.release, leaving=call.leaving, reason=call.reason)
            return _done(f"current: {before or 'nothing'} -> {call.release}")
        if call.action is DeployAction.REVERT:
            return self._revert()
        if call.action is DeployAction.MARK:
            if self._release.is_dir():
                releases.mark(call.release, call.reason)
            return _done(f"{call.release} is marked bad")
        if call.action is DeployAction.FINISH:
            self._log_revision(call)
        return self._cleanup()

    def _update(self) -> DeployAnswer:
        call, releases = self._call, self.releases
        there, current = releases.all(), releases.current()
        if retention.unfinished(there, current):  # seldom, and who is busy is a look at all processes of the host
            for name in retention.unfinished(there, current, releases.busy()):
                if self._remove(name):
                    self._tell("removed", f"{name}, which was not whole")
        sources.tidy(releases.folder)
        hook_file.tidy(releases.root)
        path = releases.begin(
            Release(call.release, revision=call.revision, branch=call.branch, performer=call.performer)
        )
        try:
            if call.artifact is not None:
                args = (call.artifact, self._payload, releases.root, path, call.timeout_seconds)
                sources.receive(*args, self._tell, self._permit, call.strip)
                self._look_into(path, call.artifact.name)
            else:
                origin = (call.source, call.revision, releases.root, path, call.timeout_seconds)
                sources.archive(*origin, self._tell, self._run, call.tree)
            pointers = "git lfs pull, before it is packed" if call.artifact else "install git-lfs on the host"
            lfs.require_none(path, pointers)
            extraction.write((f"{call.revision}\n".encode(),), REVISION, path, releases.root)
            linking.link(path, releases.shared, call.linked_dirs, call.linked_files)
            if call.build is None:
                releases.complete(call.release)
        except BaseException:
            self._remove(call.release)
            raise
        return _done(f"release {call.release} is there")

    def _build(self) -> DeployAnswer:
        call, releases = self._call, self.releases
        try:
            with building.temporary(self._release) as folder:
                env = building.environment({"TMPDIR": folder, **call.env})
                args = (env, call.timeout_seconds, self._tell, self._run, call.oldest)
                how = building.build(self._release, call.build or (), *args)
        except OpsError as error:
            releases.spoil(call.release, SECRETS.hide(error.what.splitlines()[0]))
            raise
        releases.complete(call.release)
        return _done(how)

    def _revert(self) -> DeployAnswer:
        call, releases = self._call, self.releases
        was = releases.current()
        now = releases.revert(call.release, call.reason)
        if now != was:
            self._log_revision(replace(call, release=now, leaving=was))
        return _done(f"current: {was} -> {now}" if now != was else f"current: still {now or 'nothing'}")

    def _verify(self) -> DeployAnswer:
        from ops.node import conformity

        return _done(*conformity.verify(self._request.processes[0], self._call, self._release, self._run))

    def _hook(self) -> DeployAnswer:
        call = self._call
        if not HOOK_FILE.fullmatch(call.name):
            raise OpsError(f"{call.name!r} is no name of a hook")
        deadline = Deadline(call.timeout_seconds)
        where = self._release if self._release.is_dir() and call.release else self.releases.root
        parts = iter(lambda: self._payload.read(_HOOK_BYTES, deadline, self._permit), b"")
        with hook_file.program(call.name, parts, self.releases.root) as (path, descriptor):
            ended = self._run(
                [path], deadline.remaining, lambda line: self._tell("hook", line), directory=where,
                env=building.environment(call.env), program=descriptor,
            )  # fmt: skip
        ended.require(f"the hook {call.name} failed")
        return _done(f"{call.name} ended well")

    def _cleanup(self) -> DeployAnswer:
        releases, keep = self.releases, self._call.keep
        there, current = releases.all(), releases.current()
        old = retention.superfluous(there, current, keep)
        if old:  # who is busy is a look at all processes of the host
            old = retention.superfluous(there, current, keep, releases.busy())
        gone = [name for name in old if self._remove(name)]
        return _done(f"removed {', '.join(gone)}" if gone else "nothing to remove")

    def _remove(self, name: str) -> bool:
        """Remove a release; what is left of it is a remark, and False."""
        left = self.releases.remove(name)
        if left:
            self._remark(left)
        return not left

    def _log_revision(self, call: DeployCall) -> None:
        """Add a line to revisions.log; where it cannot be added, what it tells of has happened all the same."""
        try:
            audit.log_revision(self.releases.root, audit.revision_line(call))
        except OSError as error:
            self._remark(f"{audit.REVISIONS} could not be written: {error.strerror}")

    def _look_into(self, release: Path, name: str) -> None:
        """Say that an archive has a folder around all that it has: then nothing is where it is expected."""
        entries = list(release.iterdir())
        if len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink():
            around = shown_name(os.fsencode(entries[0].name))
            self._remark(f"{name} has all of it in the folder {around}; `strip_components: 1` would leave that out")

    def _remark(self, text: str) -> None:
        self.remarks.append(text)
        self._tell("warning", text)

    def _tell(self, step: str, detail: str) -> None:
        self._emit(Event("", step, detail))


def _done(*words: str) -> DeployAnswer:
    return DeployAnswer(done=words)
