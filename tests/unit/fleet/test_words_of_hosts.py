"""What one host says and others are told: a host that lies decides for itself alone."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from ops.core.errors import OpsError
from ops.core.protocol import ProcessReport, Request, Response, Verb, encode_line
from ops.core.release import DeployAnswer, Release
from ops.core.section import load
from ops.core.states import State
from ops.core.telling import HostFact
from ops.fleet.deploy.fleet import Fleet
from ops.fleet.deploy.revision import resolve
from ops.fleet.deploy.work import going_back, new_name
from ops.fleet.inventory import Selection, select
from ops.fleet.plan import make_plan
from ops.fleet.report import Kind, Outcome, Report
from ops.fleet.roll_call import RollCall
from ops.fleet.transport.fake import Answer, FakeTransport, Host

ONE, TWO = "a" * 40, "b" * 40


class Told:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def tell(self, event: Any) -> None:
        self.events.append(event)


def says(*revisions: str) -> Host:
    """Return a host that answers a commit each time it is asked, the last one for ever."""
    left = list(revisions)

    def answer(command: tuple[str, ...], data: bytes) -> Answer:
        assert command
        assert Request.decode(data.decode()).deploy is not None
        revision = left.pop(0) if len(left) > 1 else left[0]
        line = encode_line(Response((), deployed=DeployAnswer()))
        return Answer([f"{line.replace(json.dumps('revision') + ': ' + json.dumps(''), _field(revision))}\n".encode()])

    return answer


def _field(revision: str) -> str:
    return f"{json.dumps('revision')}: {json.dumps(revision)}"


def fleet(**hosts: Host) -> Fleet:
    section = {
        "application": "a", "deploy_to": "/srv/a", "command": "run", "repo_url": "/srv/git/a",
        "stages": {"test": {"hosts": [{"host": host} for host in hosts]}},
    }  # fmt: skip
    settings = load(section)
    return Fleet(settings, select(settings, Selection()), FakeTransport(hosts), Told(), None)


def test_two_hosts_have_to_agree_on_the_commit_and_a_push_between_them_is_no_disagreement() -> None:
    # Given hosts that agree, or do so when they are asked again, and one that stands alone
    for made in (
        fleet(web1=says(ONE), web2=says(ONE), web3=says(TWO)),
        fleet(web1=says(TWO, ONE), web2=says(ONE)),
        fleet(web1=says(ONE)),
    ):
        # Then it is that commit
        assert resolve(made, "main") == ONE
        assert isinstance(made.narrator, Told)
        assert made.narrator.events[-1] == HostFact("web1", "revision", f"main is {ONE}")
    # And where they do not, or it is another than the one that was named, nothing is deployed, and both are named
    with pytest.raises(OpsError, match=f"web1 says {ONE}, web2 says {TWO}"):
        resolve(fleet(web1=says(ONE), web2=says(TWO)), "main")
    with pytest.raises(OpsError, match=f"do not agree on which commit {ONE} is"):
        resolve(fleet(web1=says(TWO), web2=says(TWO)), ONE)


@pytest.mark.parametrize("wrong", ["--output=/srv/x", "", "main", ONE[:12], ONE.upper(), f"{ONE}\n", f"{ONE} {TWO}"])
def test_an_answer_that_is_no_commit_ends_the_deploy(wrong: str) -> None:
    # Given a host, or two, that answer something else
    for made in (fleet(web1=says(wrong)), fleet(web1=says(wrong), web2=says(wrong))):
        # Then nobody is told of it
        with pytest.raises(OpsError):
            resolve(made, "main")


def test_a_release_from_the_end_of_all_times_is_named_and_nothing_waits_for_it() -> None:
    # Given a host that has one
    with pytest.raises(OpsError, match="a release of the year 9999: 99991231235959"):
        new_name([Release("99991231235959")], 1_800_000_000.0)


def test_the_way_back_that_hosts_tell_is_a_releases_name_or_no_answer() -> None:
    # Given what a host may say of its releases
    good: Callable[..., DeployAnswer] = lambda name: DeployAnswer(name, "", (Release(name),))  # noqa: E731
    assert going_back({"web1": good("20260101000002"), "web2": DeployAnswer("", "", (Release("20260101000002"),))},
                      "20260101000002") == "20260101000002"  # fmt: skip
    # Then nothing else gets as far as to be chosen
    for name in ("../../etc", "-rf", "a b", "a\n", "", ".", "x/y"):
        for field in ("previous", "name"):
            with pytest.raises(ValueError, match="is no name of a release"):
                dataclasses.replace(Release("20260101000002"), **{field: name or "\0"})
    for branch in ("a\nb", "\x1b[2J"):
        with pytest.raises(ValueError, match="control characters"):
            Release("20260101000002", branch=branch)


def test_no_host_can_have_another_hosts_member_removed() -> None:
    # Given hosts one of whose names begins with the other's, and a slot of the first that would be the second's member
    stage = {"test": {"hosts": [{"host": "web"}, {"host": "web.eu"}]}}
    settings = load({"application": "a", "deploy_to": "/srv/a", "command": "run", "app": "x:app", "stages": stage})
    plan = make_plan(settings, select(settings, Selection()), Verb.STATUS)

    def status(name: str) -> Report:
        other = ProcessReport(name, State.RUNNING, consumer={"groups": {"g": {}}})
        own = (ProcessReport("karafka-0", State.RUNNING),)
        said = (Response(own, others=(other,)), Response(own))
        both = zip(plan.actions, said, strict=True)
        return Report(plan, tuple(Outcome(one, Kind.ANSWERED, each) for one, each in both))

    # Then its answer is refused, and one of its own is not
    with pytest.raises(OpsError, match=r"web: eu.karafka-0 would be another host's member a.web.eu.karafka.0"):
        RollCall(settings).first(status("eu.karafka-0"), plan)
    RollCall(settings).first(status("karafka-1"), plan)
