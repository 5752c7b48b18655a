"""The agent's record of a slot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.core.identity import Identity
from ops.node.record import Intent, Phase, SlotRecord

KNOWN = ["intent", "phase", "phase_at", "process", "starts", "last_exit"]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KNOWN, "pid", "boot"]), inner),
)


@pytest.mark.parametrize("process", [None, Identity(7, 8, "boot")])
def test_a_record_comes_back_as_it_was_written(tmp_path: Path, process: Identity | None) -> None:
    # Given a record
    record = SlotRecord(Intent.UP, Phase.READY, 1.5, process, 3, "it exited with 1")
    # When it is written, then it is read the same
    record.write(tmp_path / "state" / "karafka-0.json")
    assert SlotRecord.read(tmp_path / "state" / "karafka-0.json") == record


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_content_is_a_record_or_that_of_a_slot_never_used(tmp_path: Path, content: bytes) -> None:
    # Given any bytes at all in a record's place
    path = tmp_path / "record"
    path.write_bytes(content)
    # Then reading them gives a record
    assert isinstance(SlotRecord.read(path), SlotRecord)


def test_a_missing_record_is_that_of_a_slot_never_used(tmp_path: Path) -> None:
    # Given no record
    record = SlotRecord.read(tmp_path / "none")
    # Then nothing was wanted or done
    assert (record.intent, record.phase, record.process, record.starts) == (Intent.DOWN, Phase.NONE, None, 0)
