"""What every bench prints: a table, or JSON, and the exit code that its claims lead to."""

from __future__ import annotations

from json import dumps
from typing import Any

from rich.console import Console
from rich.table import Table

_WIDEST = 1000


class Report:
    """Rows that were measured, and claims that hold or don't.

    Parameters
    ----------
    name : of the bench.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[dict[str, Any]] = []
        self.claims: list[dict[str, Any]] = []

    def row(self, **cells: Any) -> None:
        """Add a row; columns are in the order in which they first come up."""
        self.rows.append(cells)

    def claim(self, text: str, measured: Any, bound: Any, holds: bool | None) -> None:
        """Add a claim; `holds` is None where a peer to compare with is missing."""
        self.claims.append({"claim": text, "measured": measured, "bound": bound, "holds": holds})

    def finish(self, json: bool, allow_missing: bool) -> int:
        """Print everything on stdout; give 0 when all claims hold, else 1.

        Parameters
        ----------
        json : machine-readable instead of tables.
        allow_missing : claims that miss their peer count as held.
        """
        if json:
            print(dumps({"bench": self.name, "rows": self.rows, "claims": self.claims}, indent=2))
        else:
            self._print()
        good = (True, None) if allow_missing else (True,)
        return 0 if all(claim["holds"] in good for claim in self.claims) else 1

    def _print(self) -> None:
        console = Console()
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        table = Table(*columns, title=self.name)
        for row in self.rows:
            table.add_row(*("" if row.get(key) is None else str(row[key]) for key in columns))
        wide = Console(width=_WIDEST)
        if wide.measure(table).maximum <= console.width:
            console.print(table)
        else:  # too narrow for columns: a block of lines a row, so that nothing is cut off
            width = max(map(len, columns))
            for row in self.rows:
                console.print(
                    "\n".join(f"{key.ljust(width)}  {row[key]}" for key in columns if row.get(key) is not None)
                )
                console.print()
        verdicts = Table("claim", "measured", "bound", "holds")
        for claim in self.claims:
            holds = {True: "yes", False: "NO", None: "no peer"}[claim["holds"]]
            verdicts.add_row(claim["claim"], str(claim["measured"]), str(claim["bound"]), holds)
        console.print(verdicts)
