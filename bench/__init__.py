"""Figures, each measured in one run beside its peers or beside what it must not fall behind of."""

from __future__ import annotations

import compileall
from pathlib import Path

# pip compiles what it installs. An editable install is compiled as it is imported, and never where the environment
# says PYTHONDONTWRITEBYTECODE: then every command would be measured together with the compiler.
compileall.compile_dir(str(Path(__file__).resolve().parent.parent / "ops"), quiet=2)
