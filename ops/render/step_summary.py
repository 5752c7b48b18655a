"""The summary of a pipeline's step in Markdown: what came of it, which host runs what, the rollout's evidence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ops.core.errors import ExitCode
from ops.core.evidence import Evidence
from ops.core.plain import cell
from ops.core.telling import HostRelease, Result
from ops.render.evidence import grids, remarks, seconds_of, totals

_ACTIVE = re.compile(r"([\\`*_{}\[\]<>()#|!~@])")
_LINK = re.compile(r"(https?|ftp|mailto|www)([:.])", re.IGNORECASE)  # GitHub makes links of bare addresses
_LINES = 20


def deploy_summary(result: Result, rows: Sequence[HostRelease], evidence: Evidence | None, picture: str) -> str:
    """Give the summary of a deploy or rollback.

    Parameters
    ----------
    rows : which host has and runs which release, where the deploy told.
    picture : path of the rollout's timeline, empty for none.
    """
    first, *rest = result.message.splitlines() or [""]
    facts = [("result", first), ("release", result.release), ("revision", result.revision)]
    parts = [
        _title(result.flow, result.stage, result.exit_code),
        _facts([*facts, ("took", seconds_of(result.seconds))]),
    ]
    parts += _quoted(rest)
    if rows:
        cells = [(one.host, one.current, ", ".join(one.running), one.previous, one.note) for one in rows]
        parts.append(_table(("host", "current", "running", "previous", "notes"), cells))
    return _joined([*parts, *_evidence(evidence, picture)])


def change_summary(
    verb: str,
    stage: str,
    exit_code: int,
    processes: Sequence[tuple[str, str, str]],
    evidence: Evidence | None,
    picture: str,
) -> str:
    """Give the summary of a start, stop or restart.

    Parameters
    ----------
    processes : host, process, and what came of it; left out where the evidence tells of them.
    """
    parts = [_title(f"karafka.{verb}", stage, exit_code)]
    if evidence is None or not evidence.slots:
        parts.append(_table(("host", "process", "result"), processes))
    return _joined([*parts, *_evidence(evidence, picture)])


def _title(what: str, stage: str, exit_code: int) -> str:
    ends: dict[int, str] = {ExitCode.DONE: "done", ExitCode.ROLLED_BACK: "rolled back"}
    end = ends.get(exit_code, f"failed (exit {exit_code})")
    return f"## {_text(what)} to {_text(stage)}: {end}"


def _evidence(evidence: Evidence | None, picture: str) -> list[str]:
    if evidence is None:
        return []
    parts = ["### Rollout", _facts(totals(evidence)), *_quoted(remarks(evidence))]
    parts += [_table([name.lower() for name in headings], rows) for headings, rows in grids(evidence)]
    name, stage = _code(evidence.name), _code(evidence.stage)
    where = f"Kept as `{name}`: `fab {stage} karafka.history --rollout {name}`."
    parts.append(f"{where} Picture: `{_code(picture)}`." if picture else where)
    return parts


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    return _table(("", ""), [one for one in facts if one[1]])


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *([_text(one) for one in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _quoted(lines: Sequence[str]) -> list[str]:
    """Give lines as they are, in a block of their own; the last ones of very many."""
    if not lines:
        return []
    lines = [cell(line) for line in lines]
    fence = "`" * max(3, 1 + max(len(run) for line in lines for run in re.findall("`+", line) or [""]))
    return ["\n".join((f"{fence}text", *lines[-_LINES:], fence))]


def _text(text: str) -> str:
    """Give a text as a cell: what would be markup, a link or a mention in it is text."""
    return _LINK.sub(r"\1\\\2", _ACTIVE.sub(r"\\\1", " ".join(cell(text).split()))) or " "


def _code(text: str) -> str:
    """Give a text that stands between backticks."""
    return cell(text).replace("`", "'")


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(parts) + "\n\n"
