"""Where a rollback leads to, whatever came before: deploys, good and failed, of other tools too, cleanups, `rm -r`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ops.core.errors import OpsError
from ops.core.release import DeployAnswer, Release, is_newer
from ops.core.retention import previous_of, superfluous, unfinished
from ops.fleet.deploy.work import going_back
from ops.node.releases import Releases

_FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None  # records are synced to the disk


class Ways(RuleBasedStateMachine):
    """A host whose `current` is moved, and a stack of what it has led to: the way back is down that stack.

    Attributes
    ----------
    way : what `current` has led to, each put on what was there before; the last one is current.
    below : what was below a release when it became current.
    left : what was gone back from.
    theirs : what another tool has deployed, without a record.
    jumped : whether `current` has left a release that nothing tells to be bad: then nobody can know what another tool
        deploys over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir=_FAST))
        self.releases = Releases(self.root)
        self.releases.folder.mkdir()
        self.way: list[str] = []
        self.below: dict[str, list[str]] = {}
        self.left: set[str] = set()
        self.theirs: set[str] = set()
        self.jumped = False
        self.clock = 0

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @initialize(theirs=st.integers(0, 4), current=st.integers(0, 3), others=st.booleans())
    def take_over(self, theirs: int, current: int, others: bool) -> None:
        """Another tool has deployed, and gone back from what is newer than `current`."""
        if others:  # what no tool has deployed
            (self.releases.folder / f"{self._name()}.bak").mkdir()
            (self.releases.folder / self._name()).write_text("a file")
            (self.releases.folder / self._name()).symlink_to("/")
        self.jumped = theirs > current + 1
        for number in range(theirs):
            self._by_hand(is_current=number <= current)

    @rule()
    def deploy(self) -> None:
        name = self._made()
        self.releases.complete(name)
        self.releases.publish(name)
        self._put(name)

    @rule(how=st.sampled_from(["killed in update", "build failed", "killed before publish", "refused"]))
    def fail_before_current_moves(self, how: str) -> None:
        name = self._made()
        if how == "build failed":
            self.releases.spoil(name, how)
        elif how != "killed in update":
            self.releases.complete(name)
        if how == "refused":
            self.releases.mark(name, how)

    @precondition(lambda self: self._back())
    @rule()
    def fail_after_current_moved(self) -> None:
        name, was = self._made(), self.releases.current()
        self.releases.complete(name)
        self.releases.publish(name)
        assert self.releases.revert(name, "the rollout failed") == was
        self.below[name], self.left = self.way.copy(), {*self.left, name}

    @precondition(lambda self: not self.jumped)
    @rule()
    def deploy_by_another_tool(self) -> None:
        self._by_hand(is_current=True)

    @rule()
    def roll_back(self) -> None:
        expected = self._back()
        if not expected:
            with pytest.raises(OpsError, match="nothing to roll back to"):
                self._roll_back("")
            return
        assert self._roll_back("") == expected
        while self.way[-1] != expected:
            self.way.pop()

    @rule(data=st.data())
    def roll_back_by_name(self, data: st.DataObject) -> None:
        # of what has no record, names alone tell what was before it: nobody knows once names are no order any more
        fit = [name for name in self.below if not (self.jumped and name in self.theirs)]
        there = [name for name in fit if name != self.way[-1] and self.releases.path(name).is_dir()]
        if not there:
            return
        name, was = data.draw(st.sampled_from(sorted(there))), self.way[-1]
        assert self._roll_back(name) == name
        self.jumped = True
        if is_newer(name, was):
            self._put(name)
        else:
            self.way = [*self.below[name], name]
            self.left.discard(name)

    @rule(keep=st.integers(1, 3))
    def clean_up(self, keep: int) -> None:
        back = self._back()
        for name in superfluous(self.releases.all(), self.releases.current(), keep):
            assert self.releases.remove(name) == ""
        assert self._back() == back

    @precondition(lambda self: len(self.way) > 1)
    @rule(data=st.data())
    def remove_by_hand(self, data: st.DataObject) -> None:
        shutil.rmtree(self.releases.path(data.draw(st.sampled_from(self.way[:-1]))), ignore_errors=True)

    @invariant()
    def the_way_back_is_down_the_stack(self) -> None:
        releases = self.releases
        current = releases.current()
        assert current == (self.way[-1] if self.way else "")
        assert previous_of(releases.all(), current) == self._back()

    def _back(self) -> str:
        """Return what a rollback has to lead to: the last one before `current` that is there and was not left."""
        fit = [one for one in self.way[:-1] if one not in self.left and self.releases.path(one).is_dir()]
        return fit[-1] if fit else ""

    def _put(self, name: str) -> None:
        self.below[name] = self.way.copy()
        self.way.append(name)
        self.left.discard(name)

    def _roll_back(self, wanted: str) -> str:
        """Go back as `fab deploy.rollback` does."""
        current = self.releases.current()
        target = going_back({"host1": DeployAnswer(current, releases=self.releases.all())}, wanted)
        leaving = "" if is_newer(target, current) else current
        self.releases.publish(target, leaving=leaving, reason="rolled back")
        if leaving:
            self.left.add(leaving)
        return target

    def _name(self) -> str:
        self.clock += 1
        return f"{20260101000000 + self.clock}"

    def _made(self) -> str:
        """Begin a release as a deploy does."""
        for gone in unfinished(self.releases.all(), self.releases.current()):
            self.releases.remove(gone)
        name = self._name()
        self.releases.begin(Release(name, revision="a" * 40))
        return name

    def _by_hand(self, *, is_current: bool) -> None:
        """Deploy as another tool does: without a record."""
        name = self._name()
        self.theirs.add(name)
        (self.releases.folder / name).mkdir()
        if is_current:
            link = self.root / "new"
            link.symlink_to(self.releases.folder / name)
            link.replace(self.root / "current")
            self._put(name)


Ways.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
TestWays = Ways.TestCase
