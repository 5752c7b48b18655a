"""Which host a deploy_to belongs to: no two of an inventory share one, and what keeps one of them out can be lifted."""

from __future__ import annotations

import io
import json
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ops.core import ownership
from ops.core.errors import OpsError
from ops.core.protocol import Request, Verb
from ops.core.release import DeployAction, DeployAnswer, DeployCall
from ops.fleet.setup import remote
from ops.node import resident
from ops.node.agent import carry_out
from ops.node.payload import Payload

SHARED = "two hosts cannot share one"


def check(root: Path, host: str) -> DeployAnswer | str:
    """Let an agent look whether a deploy could begin; gives its answer, or its error."""
    call = DeployCall(DeployAction.CHECK, str(root), stage="test")
    request = Request(Verb.DEPLOY, host, (), shared=str(root / "shared"), deploy=call)
    response = carry_out(request, lambda _: None, Payload(0))
    return response.deployed or response.error


def test_of_two_hosts_that_share_a_folder_the_first_keeps_it_and_the_second_is_refused(tmp_path: Path) -> None:
    # Given hosts that share a folder which nobody has set up
    (tmp_path / "shared").mkdir()
    # When deploys of both begin at once
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: (number % 2, check(tmp_path, f"web{number % 2}")), range(8)))
    # Then one of them is fit, whoever it is, and the other one is told why it is not
    first = json.loads((tmp_path / "shared" / resident.FILE).read_text())
    assert first["stage"] == "test"
    for number, answer in answers:
        if f"web{number}" == first["host"]:
            assert isinstance(answer, DeployAnswer)
        else:
            assert isinstance(answer, str)
            assert SHARED in answer
            assert "fab karafka.setup" in answer
    assert len(list((tmp_path / "shared").glob(".karafka-ops-host*"))) == 0


def test_nothing_is_changed_on_another_hosts_folder_and_everybody_may_look(tmp_path: Path) -> None:
    # Given a folder of web1's
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / resident.FILE).write_text('{"host": "web1", "stage": "test"}\n')
    for verb in (Verb.START, Verb.STOP, Verb.RESTART, Verb.MIGRATE, Verb.UNINSTALL, Verb.STATUS):
        # When an agent is asked by another name
        response = carry_out(Request(verb, "web2", (), shared=str(tmp_path / "shared")), lambda _: None)
        # Then it refuses whatever changes something
        assert (SHARED in response.error) is (verb is not Verb.STATUS), verb
        assert response.resident == ("web1" if verb is Verb.STATUS else "")
    resident.require(tmp_path / "shared", "web1")


@pytest.mark.parametrize("wrong", ["link", "fifo", "{", "[]", '{"host": {}}', "[" * 5000, "\0", ""])
def test_what_is_no_record_keeps_nobody_out_and_is_never_followed_nor_waited_for(tmp_path: Path, wrong: str) -> None:
    # Given something else in its place
    path = tmp_path / resident.FILE
    if wrong == "link":
        (tmp_path / "other").write_text('{"host": "web9"}')
        path.symlink_to("other")
    elif wrong == "fifo":
        os.mkfifo(path)
    else:
        path.write_text(wrong)
    # Then it says nothing
    if wrong == '{"host": {}}':
        with pytest.raises(OpsError, match=SHARED):
            resident.require(tmp_path, "web1")
    else:
        resident.require(tmp_path, "web1")


def order(host: str, *fleet: str, stage: str = "test") -> dict[str, Any]:
    rules = Path(ownership.__file__).read_text()
    return {"host": host, "stage": stage, "fleet": fleet, "ownership": rules, "place": "/nowhere"}


def test_setup_takes_over_from_a_host_that_was_renamed_and_from_no_other(tmp_path: Path) -> None:
    # Given a folder that was set up as web1
    file = tmp_path / remote.HOST
    file.write_text('{"host": "web1", "stage": "test"}\n')
    # Then the same one may be set up again, also as another stage, and one that has its place in the inventory
    remote.move_in(tmp_path, order("web1", "web1", "web2"))
    remote.move_in(tmp_path, order("web1", "web1", stage="blue"))
    remote.move_in(tmp_path, order("web9", "web2", "web9"))
    # And one that stands there beside it may not, nor another stage's
    for wrong in (order("web2", "web1", "web2"), order("web2", "web2", stage="blue")):
        with pytest.raises(remote.RefusalError, match=SHARED) as refused:
            remote.move_in(tmp_path, wrong)
        # And the way out is said, which is one
        assert f"rm {file}" in refused.value.hint
    file.unlink()
    remote.move_in(tmp_path, order("web2", "web1", "web2"))


def test_setup_says_so_while_the_other_host_is_being_set_up(tmp_path: Path) -> None:
    # Given a setup of web1 under way, which has written down whose the folder is
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    (tmp_path / "shared").mkdir()
    with (tmp_path / "shared/karafka-ops.lock").open("w") as lock:
        remote.fcntl.flock(lock, remote.fcntl.LOCK_EX)
        (tmp_path / "shared" / remote.HOST).write_text('{"host": "web1", "stage": "test"}\n')
        # When web2 begins
        call = order("web2", "web1", "web2") | {"deploy_to": str(tmp_path), "place": str(tmp_path)}
        with pytest.raises(remote.RefusalError, match=SHARED):
            remote.main(call, empty.getvalue())
