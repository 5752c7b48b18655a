"""Templates to file records: rendered here, written elsewhere, so that a diff or a dry run needs no disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ops.core.records import dataclass

# Of pipelines: neither clashes with their own ${{ }}, and the templates are YAML themselves.
_SYNTAX: dict[str, dict[str, Any]] = {
    "ci": {"variable_start_string": "<<", "variable_end_string": ">>", "line_statement_prefix": "#%"}
}


@dataclass(frozen=True)
class FileRecord:
    """One file to be: its path, relative to a root or absolute on its host, its text, and its mode."""

    path: str
    text: str
    mode: int = 0o644


def folder() -> Path:
    """Give the folder of the templates: beside the code in a wheel, beside the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "templates"
    return packaged if packaged.is_dir() else package.parent / "templates"


def render(kind: str, names: dict[str, str], *, mode: int = 0o644, **values: Any) -> tuple[FileRecord, ...]:
    """Render templates of one kind.

    Parameters
    ----------
    kind : the folder below templates/.
    names : template's name -> path of the file it makes.
    mode : of these files.
    values : what the templates use; one that is missing is an error, not an empty text.

    Raises
    ------
    jinja2.UndefinedError : a template uses a value that is not given.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder() / kind),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        **_SYNTAX.get(kind, {}),
    )
    return tuple(
        FileRecord(path, environment.get_template(name).render(**values), mode) for name, path in names.items()
    )
