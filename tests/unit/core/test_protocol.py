"""What operator and agent say to each other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, is_dataclass
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ops.kafka.__main__ as asked_by_hand
from ops.core.asking import Answer, Question
from ops.core.hints import hints_of
from ops.core.history import HistoryAction, HistoryAnswer, HistoryCall
from ops.core.installation import (
    Facts,
    FactsCall,
    HostFile,
    InstallAnswer,
    InstallCall,
    OpenFiles,
    PresentFile,
    Space,
)  # fmt: skip
from ops.core.lease import Fence, LeaseAction, LeaseAnswer, LeaseCall, LeaseInfo
from ops.core.masking import Secrets
from ops.core.protocol import (
    PROTOCOL,
    Event,
    LogCall,
    ProcessReport,
    ProcessSpec,
    ProtocolError,
    Request,
    Response,
    Verb,
    decode_line,
    encode_line,
)
from ops.core.release import Artifact, DeployAction, DeployAnswer, DeployCall, Release, ReleaseState
from ops.core.remote_command import ExecAnswer, ExecCall
from ops.core.slot import Roster, Slot, SlotFiles
from ops.core.states import State
from tests.labs.late_types import make_readable

FILES = SlotFiles.below("/srv/shared", "tmp/pids/karafka.pid", Slot("karafka", 0))
TEXT = st.text(max_size=20)
SPECS = st.builds(
    ProcessSpec,
    name=TEXT,
    command=st.lists(TEXT, min_size=1, max_size=4).map(tuple),
    directory=TEXT,
    files=st.just(FILES),
    env=st.dictionaries(TEXT, TEXT, max_size=3),
    env_file=TEXT,
    readiness=st.sampled_from(["notify", "alive"]),
    start_timeout_seconds=st.floats(0, 1000),
    stop_timeout_seconds=st.floats(0, 1000),
    fresh_member_of=st.lists(TEXT, max_size=3).map(tuple),
)
REPORTS = st.builds(
    ProcessReport,
    name=TEXT,
    state=st.sampled_from(State),
    pid=st.none() | st.integers(1, 99999),
    message=TEXT,
    uptime_seconds=st.none() | st.floats(0, 1e9),
    log=st.lists(TEXT, max_size=3).map(tuple),
    consumer=st.none() | st.dictionaries(TEXT, TEXT | st.integers(), max_size=3),
)


BOUND = {Verb.DESCRIBE, Verb.LOG, Verb.FACTS, Verb.INSTALL, Verb.DEPLOY, Verb.EXEC}  # to what they ask
NUMBERS = st.integers(0, 1 << 50)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
FENCES = st.none() | st.builds(Fence, NUMBERS, TEXT)
CALLS = st.builds(
    LeaseCall, st.sampled_from(LeaseAction), TEXT, TEXT, TEXT, TEXT, ttl_seconds=st.floats(0.1, 86_400), above=NUMBERS
)
ASKED = st.builds(
    HistoryCall,
    st.sampled_from(HistoryAction),
    TEXT,
    st.none() | st.dictionaries(TEXT, TEXT | st.floats(allow_nan=False) | st.none(), max_size=3),
    TEXT,
)
NAMES = st.from_regex("[A-Za-z0-9_][A-Za-z0-9_.+-]*", fullmatch=True)
COMMITS = st.just("") | st.from_regex("[0-9a-f]{40}([0-9a-f]{24})?", fullmatch=True)
DEPLOYS = st.builds(
    DeployCall,
    st.sampled_from(DeployAction),
    TEXT,
    release=NAMES,
    artifact=st.none() | st.builds(Artifact, TEXT, NUMBERS, TEXT),
    linked_dirs=st.lists(TEXT, max_size=2).map(tuple),
    build=st.none() | st.lists(TEXT, max_size=2).map(tuple),
    env=st.dictionaries(TEXT, TEXT, max_size=2),
    wall=st.floats(0, 2e9),
)
RELEASES = st.builds(Release, NAMES, st.sampled_from(ReleaseState), COMMITS, published_at=st.floats(0, 2e9))
DEPLOYED = st.none() | st.builds(DeployAnswer, NAMES, NAMES, st.lists(RELEASES, max_size=2).map(tuple), COMMITS)
EXECS = st.builds(ExecCall, TEXTS, st.floats(0.1, 86_400))
EXECUTED = st.none() | st.builds(ExecAnswer, st.integers(0, 255), TEXT)
ROSTERS = st.none() | st.builds(Roster, TEXT, st.lists(TEXT, max_size=3).map(tuple))
INFOS = st.builds(LeaseInfo, NUMBERS, st.booleans(), TEXT, TEXT, TEXT, st.floats(0, 2e9), st.none() | st.floats(0, 1e6))
LEASES = st.none() | st.builds(LeaseAnswer, st.booleans(), INFOS, TEXT, NUMBERS)
DESCRIBED = st.none() | st.dictionaries(TEXT, st.lists(TEXT, max_size=3), max_size=3)
FILES_TO_BE = st.lists(st.builds(HostFile, TEXT, TEXT, st.integers(0, 0o7777)), max_size=2).map(tuple)
LOGS = st.builds(LogCall, st.integers(1, 9), st.none() | st.floats(0, 1e6), st.booleans())
FACTS_CALLS = st.builds(FactsCall, TEXT, TEXTS)
INSTALLS = st.builds(InstallCall, FILES_TO_BE, TEXTS, st.dictionaries(TEXT, TEXT, max_size=2))
FACTS = st.none() | st.builds(
    Facts, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.floats(0, 2e9),
    files=st.dictionaries(TEXT, st.builds(PresentFile, TEXT, st.integers(0, 0o7777), TEXT, TEXT), max_size=2),
    installed=st.dictionaries(TEXT, st.dictionaries(TEXT, TEXT, max_size=2), max_size=2),
    linger=st.none() | st.booleans(),
    space=st.none() | st.builds(Space, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    open_files=st.dictionaries(TEXT, st.builds(OpenFiles, NUMBERS, NUMBERS), max_size=2),
)  # fmt: skip
INSTALLED = st.none() | st.builds(InstallAnswer, TEXTS, TEXTS, TEXTS)
HISTORIES = st.none() | st.builds(HistoryAnswer, st.lists(TEXT, max_size=3).map(tuple), picture=TEXT)


@given(
    st.builds(
        Request,
        st.sampled_from(sorted(set(Verb) - BOUND)),
        TEXT,
        st.lists(SPECS, max_size=3).map(tuple),
        st.booleans(),
        st.integers(0),
        st.text(min_size=1, max_size=20),
        ROSTERS,
        FENCES,
        CALLS,
        ASKED,
        log=LOGS,
        facts=FACTS_CALLS,
        install=INSTALLS,
    )
    | st.builds(Request, st.just(Verb.DESCRIBE), TEXT, st.tuples(SPECS))
    | st.builds(Request, st.just(Verb.EXEC), TEXT, st.tuples(SPECS), shared=st.just("/srv/shared"), exec=EXECS)
    | st.builds(Request, st.just(Verb.DEPLOY), TEXT, st.tuples(SPECS), shared=st.just("/srv/shared"), deploy=DEPLOYS)
)
def test_a_request_comes_back_as_it_was_sent_on_one_line(request: Request) -> None:
    # Given any request
    line = request.encode()
    # Then it is one line, and reads the same
    assert "\n" not in line
    assert Request.decode(line) == request


@given(
    st.builds(Event, TEXT, TEXT, TEXT)
    | st.builds(
        Response,
        st.lists(REPORTS, max_size=3).map(tuple),
        TEXT,
        st.booleans(),
        LEASES,
        HISTORIES,
        others=st.lists(REPORTS, max_size=2).map(tuple),
        described=DESCRIBED,
        facts=FACTS,
        installed=INSTALLED,
        deployed=DEPLOYED,
        executed=EXECUTED,
    )
)
def test_an_answer_comes_back_as_it_was_sent_on_one_line(message: Event | Response) -> None:
    # Given any event or response
    line = encode_line(message)
    # Then it is one line, and reads the same
    assert "\n" not in line
    assert decode_line(line) == message


@given(st.text() | st.recursive(st.none() | st.text(max_size=3), lambda one: st.lists(one, max_size=3)).map(json.dumps))
def test_anything_else_is_a_protocol_error(text: str) -> None:
    # Given anything that is no message
    for decode in (Request.decode, decode_line):
        with pytest.raises(ProtocolError):
            decode(text)


def change(**changes: Any) -> str:
    data = json.loads(Request(Verb.START, "h", (ProcessSpec("karafka-0", ("true",), "/", FILES),)).encode())
    data["processes"][0].update(changes)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"command": "sleep 5"}, "command of karafka-0"),
        ({"command": []}, "command of karafka-0"),
        ({"command": ["sleep", 5]}, "command of karafka-0"),
        ({"command": None}, "does not fit"),
        ({"env": {"A": 1}}, "environment of karafka-0"),
        ({"env": ["A"]}, "does not fit"),
        ({"readiness": "soon"}, "readiness of karafka-0"),
        ({"start_timeout_seconds": "20"}, "does not fit"),
        ({"stop_timeout_seconds": float("nan")}, "timeout of karafka-0"),
        ({"stop_timeout_seconds": -1}, "timeout of karafka-0"),
        ({"files": {"pidfile": "/p"}}, "does not fit"),
        ({"surprise": 1}, "surprise"),
        ({"fresh_member_of": "orders"}, "no list of names"),
        ({"fresh_member_of": [1]}, "no list of names"),
    ],
)
def test_a_process_that_does_not_fit_is_refused_with_the_reason(changes: dict[str, Any], text: str) -> None:
    # Given a request with one process that is not as it should be
    with pytest.raises(ProtocolError, match=text):
        Request.decode(change(**changes))


@pytest.mark.parametrize("decode", [Request.decode, decode_line])
def test_another_version_names_the_command_that_helps(decode: Any) -> None:
    # Given a message of a later version
    with pytest.raises(ProtocolError, match=r"fab karafka\.setup") as caught:
        decode(json.dumps({"protocol": PROTOCOL + 1}))
    # Then both versions are named
    assert f"protocol {PROTOCOL + 1}, this tool {PROTOCOL}" in str(caught.value)


def shapes(*kinds: Any) -> dict[str, list[str]]:
    """The fields of messages, and of all that they carry."""
    make_readable()
    found: dict[str, list[str]] = {}
    waiting = list(kinds)
    while waiting:
        kind = waiting.pop()
        waiting += get_args(kind)
        if is_dataclass(kind) and isinstance(kind, type) and kind.__name__ not in found:
            found[kind.__name__] = sorted(field.name for field in fields(kind))
            waiting += hints_of(kind).values()
    return found


def test_a_message_with_other_fields_is_of_another_version() -> None:
    # Given the fields of every message: an end of the version before refuses one more, and one less
    found = shapes(Request, Response, Event, Question, Answer)
    assert {"DeployCall", "ProcessSpec", "Judgement"} <= set(found)
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:12]
    # Then they are those of this version: where they changed, raise PROTOCOL, and note both here
    assert (PROTOCOL, digest) == (5, "d1462bea8d1c")


def test_the_question_shown_for_use_by_hand_is_of_this_version() -> None:
    # Given the line that the module's page shows
    line = next(one for one in (asked_by_hand.__doc__ or "").splitlines() if "echo '" in one)
    # Then it is one
    assert Question.decode(line.split("'")[1]).names == ("sources_refresh",)


@pytest.mark.parametrize("verb", [Verb.LEASE, Verb.HISTORY, Verb.LOG, Verb.FACTS, Verb.INSTALL, Verb.DEPLOY, Verb.EXEC])
def test_a_verb_without_what_it_asks_is_refused(verb: Verb) -> None:
    # Given a request that names a verb and says nothing of it
    # Then it is none
    with pytest.raises(ProtocolError, match="without what it needs"):
        Request.decode(Request(verb, "h1", (), shared="/srv/shared").encode())


@pytest.mark.parametrize("verb", [Verb.DESCRIBE, Verb.EXEC])
@pytest.mark.parametrize("count", [0, 2])
def test_a_command_is_run_as_one_process(count: int, verb: Verb) -> None:
    # Given a request to describe no process or two, or to run a command as none or two
    specs = (ProcessSpec("karafka-0", ("true",), "/", FILES),) * count
    # Then it is none
    with pytest.raises(ProtocolError, match="without what it needs"):
        Request.decode(Request(verb, "h1", specs, shared="/s", exec=ExecCall(("true",), 1.0)).encode())


def test_a_lease_without_a_folder_is_refused() -> None:
    # Given a request under a lease that does not say where the host notes it
    # Then it is none
    with pytest.raises(ProtocolError, match="without what it needs"):
        Request.decode(Request(Verb.STOP, "h1", (), fence=Fence(7, "ann")).encode())


def test_an_answer_has_no_secret_in_its_words_and_every_name_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a secret that is also a topic's name, and stands in a log
    secrets = Secrets()
    secrets.learn({"PARTITION_KEY": "orders"})
    monkeypatch.setattr("ops.core.protocol.SECRETS", secrets)
    report = ProcessReport(
        "karafka-0", State.DEAD, message="orders failed", log=("it was orders",), consumer={"t": "orders"}
    )
    sent = Response((report,), error="no orders", described={"g": ["orders"]}, progress={"orders": "orders"})
    # When it goes over the wire
    got = decode_line(encode_line(sent))
    assert isinstance(got, Response)
    # Then words are without it, and what is compared is as it was
    assert (got.error, got.processes[0].message, got.processes[0].log) == (
        "no ********",
        "******** failed",
        ("it was ********",),
    )
    assert (got.described, got.progress, got.processes[0].consumer) == (sent.described, sent.progress, report.consumer)
    assert decode_line(encode_line(Event("karafka-0", "line", "orders came"))) == Event(
        "karafka-0", "line", "******** came"
    )
