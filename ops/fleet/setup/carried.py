"""The wheel of this tool that a project carries, so that its pipelines ask no index for the tool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import ops
from ops.core.errors import OpsError, SettingsError
from ops.fleet.setup.wheel import own_distribution, packed_wheel, wheel_name

FOLDER = ".karafka/tool"
_NOTES = ("METADATA", "entry_points.txt")  # of the .dist-info; its direct_url.json has a path of this machine


def carried_path() -> str:
    """Return where a project carries the running tool's wheel, below the project's folder.

    Raises
    ------
    OpsError : the tool runs without having been installed.
    """
    return f"{FOLDER}/{wheel_name(own_distribution().version)}"


def full_wheel() -> bytes:
    """Pack the running tool whole, not only what hosts need.

    Raises
    ------
    OpsError : the tool runs without having been installed.
    """
    distribution = own_distribution()
    notes = {}
    for file in sorted(distribution.files or ()):
        _, _, name = file.as_posix().partition(".dist-info/")
        if name in _NOTES or name.startswith("licenses/"):
            notes[name] = file.read_binary()
    return packed_wheel(distribution.version, dict(_package_files()), notes)


def carry(project: Path, *, renew: bool, pipelines: Sequence[Path]) -> tuple[tuple[str, Path], ...]:
    """Put the running tool's wheel into a project.

    Parameters
    ----------
    renew : replace the wheel of the same version, and remove those of other versions.
    pipelines : that stay as they are; a wheel that one of them names is not removed.

    Returns
    -------
    What was done, each with its file: `wrote`, `kept` (the wheel was there) or `removed`.

    Raises
    ------
    OpsError : the tool runs without having been installed, or a file cannot be written.
    """
    path = project / carried_path()
    try:
        kept = path.exists() and not renew
        if not kept:
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_suffix(".new")
            new.write_bytes(full_wheel())
            new.replace(path)
        named = "".join(pipeline.read_text(errors="replace") for pipeline in pipelines if pipeline.is_file())
        wheels = sorted(path.parent.glob("karafka_ops-*.whl")) if renew else []
        removed = [wheel for wheel in wheels if wheel != path and wheel.name not in named]
        for wheel in removed:
            wheel.unlink()
    except OSError as error:
        raise OpsError(error.strerror or str(error), where=str(error.filename or path)) from None
    return (("kept" if kept else "wrote", path), *(("removed", wheel) for wheel in removed))


def require_in(project: Path, wheel: str) -> None:
    """Require that a wheel is a file of the project, as a runner checks it out.

    Raises
    ------
    SettingsError : it is not there, or a link leads out of the project.
    """
    path = project / wheel
    if not path.is_file():
        raise SettingsError(f"no such file: {path}", where="karafka.tool", hint="a path begins at the project's folder")
    if not path.resolve().is_relative_to(project.resolve()):
        raise SettingsError(f"{wheel} leads out of the project: {path.resolve()}", where="karafka.tool")


def _package_files() -> Iterator[tuple[str, bytes]]:
    """Return the package's files; the templates of a checkout go where a wheel has them."""
    package = Path(ops.__file__).parent
    templates = package.parent / "templates"
    roots = [(package, "ops")]
    if not (package / "templates").is_dir() and templates.is_dir():
        roots.append((templates, "ops/templates"))
    for root, name in roots:
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{name}/{path.relative_to(root).as_posix()}", path.read_bytes()
