"""The picture of a rollout, and its summary in words."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from ops.core.evidence import Evidence, Outcome, Phase, PhaseKind, SlotEvidence, VerdictEvidence
from ops.core.stalls import Generation, PartitionEvidence, Stall
from ops.render.evidence import plain_lines, print_summary
from ops.render.palette import STYLE
from ops.render.timeline import ROWS, timeline
from tests.labs.evidence import Make

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [" ".join(one.itertext()) for one in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def boxes(picture: str, kind: str) -> list[ElementTree.Element]:
    return [one for one in ElementTree.fromstring(picture).iter(f"{SVG}rect") if one.get("class") == kind]


@pytest.mark.parametrize(("slots", "partitions"), [(4, 12), (50, 100)])
def test_it_is_well_formed_and_has_every_slot_and_partition(rollout: Make, slots: int, partitions: int) -> None:
    # Given a rollout
    evidence = rollout(slots, partitions)
    # When it is drawn
    said = "\n".join(texts(timeline(evidence)))
    # Then every slot and partition is named in it
    for slot in evidence.slots:
        assert slot.name in said
    for partition in evidence.partitions:
        assert re.search(rf"\b{re.escape(partition.name)}\b", said)
    # And what it was and what came of it
    for fact in ("restart of sources, production: done", "20260101000000 → 20260102000000", f"{slots} of {slots}"):
        assert fact in said


def test_it_needs_nothing_from_anywhere(rollout: Make) -> None:
    # Given a picture
    picture = timeline(rollout())
    # Then it has neither script, picture, font nor link, and refers to nothing
    root = ElementTree.fromstring(picture)
    assert {one.tag.removeprefix(SVG) for one in root.iter()} == {
        "svg",
        "title",
        "desc",
        "style",
        "rect",
        "line",
        "text",
    }
    assert not re.search(
        r"https?:|url\(|@import|@font-face|href|data:", picture.replace("http://www.w3.org/2000/svg", "")
    )
    # And colours for dark ground
    assert "prefers-color-scheme:dark" in picture


def test_its_size_is_bounded(rollout: Make) -> None:
    # Given the largest fleet, and one that is far beyond
    usual, absurd = timeline(rollout(50, 100)), timeline(rollout(50, 20_000))
    # Then both are pictures that a browser opens
    assert len(usual) < 500_000
    assert len(absurd) < 2_000_000
    assert sum("more partitions, no stall above" in text for text in texts(absurd)) == 50
    assert len([text for text in texts(absurd) if "sources_refresh-" in text]) <= ROWS + 50


def test_of_too_many_partitions_the_worst_are_drawn(rollout: Make) -> None:
    # Given thousands of partitions, one of which stood still for long
    evidence = rollout(4, 4000)
    rows = list(evidence.partitions)
    rows[3333] = replace(rows[3333], stalls=(Stall(2.0, 7.0, 7.0),))
    # Then it is among those that are drawn
    assert any(
        text.endswith("sources_refresh-3333") for text in texts(timeline(replace(evidence, partitions=tuple(rows))))
    )


@pytest.mark.parametrize(
    "evil", ["<script>alert(1)</script>", "a & b", "\"'>", "\x00\x1b[31m\ud800", "ü \N{SNOWMAN}" * 99, "]]>"]
)
def test_whatever_a_name_holds_it_stays_text(rollout: Make, evil: str) -> None:
    # Given names and words that somebody else chose
    evidence = rollout(2, 4)
    slot = replace(evidence.slots[0], process=evil, message=evil, ok=False)
    row = replace(evidence.partitions[0], topic=evil)
    verdict = VerdictEvidence(evil, evil, 1.0, 1.0, (evil,))
    words = ("application", "stage", "release", "holder", "run", "forced", "strategy")
    evidence = replace(evidence, **dict.fromkeys(words, evil), notes=(evil,), verdicts=(verdict,))
    slots, rows = (slot, *evidence.slots[1:]), (row, *evidence.partitions[1:])
    picture = timeline(replace(evidence, slots=slots, partitions=rows))
    # Then the picture is still one, and goes to a file
    tags = {one.tag.removeprefix(SVG) for one in ElementTree.fromstring(picture.encode("utf-8", "strict")).iter()}
    assert tags == {"svg", "title", "desc", "style", "rect", "line", "text"}


def test_a_stall_that_is_too_long_is_marked_as_such(rollout: Make) -> None:
    # Given a rollout without one, and with one of 4.4 s
    evidence = rollout()
    assert len(boxes(timeline(evidence), "long")) == 1  # the legend's
    rows = (replace(evidence.partitions[0], stalls=(Stall(0.5, 4.4, 4.4),)), *evidence.partitions[1:])
    # Then it is marked over its whole time, and told in figures
    picture = timeline(replace(evidence, partitions=rows))
    widest = max(float(box.get("width", 0)) for box in boxes(picture, "long") if float(box.get("x", 0)) < 800)
    assert widest == pytest.approx(560 * 4.4 / (evidence.seconds * 1.06), rel=0.01)
    assert "4.40 s" in texts(picture)


def test_new_generations_and_gates_are_marked_where_they_were(rollout: Make) -> None:
    # Given a rollout with a rebalance in its middle, and a gate that refused
    evidence = rollout()
    group = replace(evidence.groups[0], generations=(Generation(-1, 7), Generation(evidence.seconds / 2, 8)), planned=1)
    refused = VerdictEvidence("gate after batch 1", "refused", 3.0, 2.0, ("group sources: web1 is not a member",))
    picture = timeline(replace(evidence, groups=(group,), verdicts=(refused,)))
    # Then a line goes through the picture's middle
    _, line = [one for one in ElementTree.fromstring(picture).iter(f"{SVG}line") if one.get("class") == "generation"]
    assert line.get("x1") == line.get("x2")
    assert 236 + 280 * 0.95 < float(line.get("x1", 0)) < 236 + 280 * 1.1
    assert "sources 8" in texts(picture)
    # And the gate says why
    gate, _ = sorted(boxes(picture, "refused"), key=lambda box: -float(box.get("y", 0)))
    assert "web1 is not a member" in "".join(gate.itertext())
    assert "gate after batch 1: refused after 2.00 s" in texts(picture)
    assert "- group sources: web1 is not a member" in texts(picture)


def test_a_rollout_of_which_nothing_is_known_is_drawn_too() -> None:
    # Given a rollout that ended before it began
    evidence = Evidence("sources", "production", "rolling", "ann", 7, 0.0, 0.0, Outcome.REFUSED, 11)
    # Then there is a picture and a summary
    assert "restart of sources, production: refused" in texts(timeline(evidence))
    assert "outcome        refused" in plain_lines(evidence)


def test_partitions_without_a_known_consumer_have_a_band_of_their_own(rollout: Make) -> None:
    # Given a foreign command: only committed offsets are known
    row = PartitionEvidence("g", "orders", 0, committed=Stall(1.0, 2.0, 2.0), lag_before=0, lag_peak=9, lag_after=0)
    picture = timeline(replace(rollout(), partitions=(row,)))
    # Then it is there, with its standstill
    assert any("no consumer known" in text for text in texts(picture))
    assert "2.00 s" in texts(picture)


def test_the_summary_tells_what_came_of_each_slot(rollout: Make) -> None:
    # Given a rollout in which the second slot failed and the others were not attempted
    evidence = rollout()
    first, second, *rest = evidence.slots
    stopped = (Phase(PhaseKind.STOPPING, 2.0, 1.4), Phase(PhaseKind.STARTING, 3.4, 3.0))
    failed = replace(second, ok=False, warm=False, new_pid=None, message="it exited with 1", phases=stopped)
    others = [SlotEvidence(one.host, one.process, old_pid=one.old_pid) for one in rest]
    evidence = replace(evidence, slots=(first, failed, *others), outcome=Outcome.FAILED, forced="broker 2 is away")
    # When it is printed
    stream = io.StringIO()
    print_summary(evidence, stream)
    text = stream.getvalue()
    # Then each of them is there, with what it took
    assert re.search(r"^outcome +failed$", text, re.MULTILINE)
    assert re.search(r"^forced +broker 2 is away$", text, re.MULTILINE)
    assert re.search(r"^web1\S+ karafka-0 +1  warm +0.420 s  0.031 s +0.027 s  1000 -> 2000  ok$", text, re.MULTILINE)
    assert re.search(
        r"karafka-1 +1  stop, start +- +1.40 s +3.00 s  1001 +failed: it exited with 1$", text, re.MULTILINE
    )
    assert len(re.findall(r"not attempted$", text, re.MULTILINE)) == 2
    # And the partitions that stood still for longest, the worst first
    worst = evidence.worst
    assert worst is not None
    assert re.search(rf"^longest stall +0\.\d+ s \({worst.name}\)$", text, re.MULTILINE)
    assert re.search(rf"RESULT\n(.*\n)+PARTITION.*\n{worst.name} ", text)
    assert text.endswith("and 4 more partitions\n")


def test_partitions_are_counted_only_below_a_table_that_has_others(rollout: Make) -> None:
    # Given partitions of which none stood still
    idle = tuple(PartitionEvidence("g", "orders", number) for number in range(48))
    text = "\n".join(plain_lines(replace(rollout(), partitions=idle)))
    # Then there is no table, and nothing is said to be left out of it
    assert "PARTITION" not in text
    assert "more partition" not in text


def test_on_a_terminal_the_summary_is_a_table_with_the_same_words(
    rollout: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a terminal
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()
    evidence = rollout()
    # When the summary is printed, then the words are those of the plain one
    print_summary(evidence, stream)
    words = re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()).split()
    assert words == "\n".join(plain_lines(evidence)).split()


def test_partitions_where_nothing_came_are_told_in_one_line(rollout: Make) -> None:
    # Given many partitions that nobody wrote to meanwhile
    idle = tuple(PartitionEvidence("g", topic, number) for topic in ("orders", "bills") for number in range(12))
    picture = timeline(replace(rollout(), partitions=idle))
    # Then one line counts them, and none has a row
    assert "24 partitions where nothing came: orders, bills" in texts(picture)
    assert not any("orders-3" in text for text in texts(picture))


def test_partitions_that_nobody_has_told_of_are_not_called_strange(rollout: Make) -> None:
    # Given partitions without a consumer that tells of them: idle ones, and one of which only offsets are known
    idle = PartitionEvidence("g", "idle", 0, lag_before=0, lag_peak=0, lag_after=0)
    seen = PartitionEvidence("g", "orders", 0, lag_before=3, lag_peak=9, lag_after=0)
    said = texts(timeline(replace(rollout(), partitions=(idle, seen))))
    # Then each stands in a band that says so, and the one to which messages came is not said to be idle
    assert {"1 partition where nothing came: idle", "orders-0"} <= set(said)
    assert any("idle partitions" in text for text in said)
    assert any("no consumer known" in text for text in said)
    assert "not part of this rollout" not in said
    # And what another process works on is called that
    other = texts(timeline(replace(rollout(), partitions=(replace(seen, slot="web9 karafka-0"),))))
    assert "not part of this rollout" in other
    assert any("web9 karafka-0" in text for text in other)


def test_a_process_that_was_killed_is_told_in_red(rollout: Make) -> None:
    # Given a slot whose process did not end in time
    evidence = rollout()
    stopped = (Phase(PhaseKind.STOPPING, 2.0, 5.0), Phase(PhaseKind.STARTING, 7.0, 3.0))
    first = replace(evidence.slots[0], warm=False, killed=True, phases=stopped)
    picture = timeline(replace(evidence, slots=(first, *evidence.slots[1:])))
    # Then it says so beside its name and in the time that it took, and the legend explains it
    (word,) = [one for one in ElementTree.fromstring(picture).iter(f"{SVG}text") if one.get("class") == "killed-name"]
    assert (word.text or "KILLED") == "KILLED"
    assert "stopping, killed 5.00 s" in texts(picture)
    assert any(text.startswith("killed: ") for text in texts(picture))
    assert "KILLED" not in texts(timeline(evidence))


def test_whatever_is_drawn_is_explained(rollout: Make) -> None:
    # Given a rollout in which everything occurred
    evidence = rollout(6)
    kinds = tuple(Phase(kind, 1.0 + number, 0.9) for number, kind in enumerate(PhaseKind))
    slots = (
        replace(evidence.slots[0], phases=kinds),
        replace(evidence.slots[1], phases=kinds, killed=True),
        *evidence.slots[2:],
    )
    rows = (replace(evidence.partitions[0], stalls=(Stall(0.5, 4.4, 4.4),)), *evidence.partitions[1:])
    group = replace(evidence.groups[0], generations=(Generation(-1, 7), Generation(3, 8)))
    verdicts = (*evidence.verdicts, VerdictEvidence("gate", "refused", 3.0, 2.0))
    picture = timeline(replace(evidence, slots=slots, partitions=rows, groups=(group,), verdicts=verdicts))
    # Then every colour has its small box or line above all of that, with words at its right
    root = ElementTree.fromstring(picture)
    top = min(float(box.get("y", 0)) for box in boxes(picture, "band"))
    small = {
        one.get("class") for one in root.iter(f"{SVG}rect") if one.get("width") == "12" and float(one.get("y", 0)) < top
    }
    drawn = {one.get("class") for one in root.iter(f"{SVG}rect") if one.get("class") not in ("ground", "band", None)}
    assert {kind for kind in drawn if "veil" not in str(kind)} <= small
    assert "a group's new generation: a rebalance" in texts(picture)


def test_names_that_are_too_long_keep_what_tells_them_apart(rollout: Make) -> None:
    # Given hosts whose names differ in their middle
    evidence = rollout()
    host = "kafka-consumers-production-{:02d}.eu-west-1.internal.example.com"
    slots = tuple(replace(one, host=host.format(number)) for number, one in enumerate(evidence.slots))
    said = texts(timeline(replace(evidence, slots=slots, partitions=())))
    # Then so many different names stand there
    shown = [text for text in said if re.search(r"\u2026 karafka-\d", text)]
    assert len(set(shown)) == len(slots)
    assert all(f"\u2026{number:02d}" in text for number, text in enumerate(shown))


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("ground", [0, 1], ids=["light", "dark"])
def test_every_colour_can_be_seen_on_light_and_on_dark_ground(ground: int) -> None:
    # Given the sheet of one ground: class by class its colour
    sheet = dict(re.findall(r"\.([\w-]+)\{(?:fill|stroke):(#\w{6})\}", STYLE.split("@media")[ground]))
    behind = [sheet.pop("ground"), sheet.pop("band")]
    inside, killed = sheet.pop("inside"), sheet.pop("inside-killed")
    # Then what is drawn has 3 to 1 on it, and text 4.5 to 1 (WCAG 2 AA); hints of time alone may be fainter
    faint = {"rule", "tick"}
    drawn = {"before", "after", "stall", "long", "passed", "refused", "killed", "generation"} | {
        kind.value.replace(" ", "-") for kind in PhaseKind
    }
    assert drawn <= sheet.keys()
    for name in sheet.keys() - faint:
        for other in behind:
            assert contrast(sheet[name], other) >= (3 if name in drawn else 4.5), name
    for kind in PhaseKind:
        assert contrast(sheet[kind.value.replace(" ", "-")], inside) >= 4.5, kind
    assert contrast(sheet["killed"], killed) >= 4.5
