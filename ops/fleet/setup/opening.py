"""How a setup begins on a host of which nothing is known: its shell looks for a Python that can go on.

The command line is fixed, and /bin/sh alone reads it. Standard input has all the rest: the shell's script up to the
line `end`, a line of JSON with the order and Python's script, and the tar of wheels.
"""

from __future__ import annotations

import json
import shlex
from importlib import resources
from typing import Any

PLACES = ("/usr/local/bin", "/usr/bin", "/opt/*/bin")
"""Where interpreters are looked for beside PATH, which a command over SSH often has without its best folders."""
MARK = b'{"setup": '
COMMAND = (
    "/bin/sh",
    "-c",
    'eval "$(while IFS= read -r line && [ "$line" != end ]; do printf "%s\\n" "$line"; done)"',
)
# Nothing is run that another user may have put there, unless a setting names it: what is run is the file that the name
# leads to, if nobody else can write to it or to a folder above it; no venv's, as in remote.py. `-I`: the host's
# PYTHONPATH is none of ours. A try is ended in time where there is timeout(1). Any answer begins on a line of its own.
_SEARCH = """\
named=@named@
found=
limit="timeout -s KILL @seconds@"
$limit id </dev/null >/dev/null 2>&1 || limit=
ask='import sys; sys.stdout.write("%d.%d.%d" % sys.version_info[:3])'
try() {
    [ -f "$1" ] && [ -x "$1" ] || return 0
    version=$($limit "$1" -I -c "$ask" </dev/null 2>/dev/null)
    case $version in
    3.9.* | 3.[1-9][0-9].*) exec "$1" -I -c '@begin@' ;;
    [0-9]*) case "$found, " in *", $1 is $version, "*) ;; *) found="$found, $1 is $version" ;; esac ;;
    esac
}
[ -z "$named" ] || try "$named"
user=$(id -u)
harmless() {
    part=$1
    while :; do
        set -- $(ls -ldn "$part" 2>/dev/null)
        case $1 in ?????w* | ????????w*) return 1 ;; esac
        case $3 in 0 | "${user:-0}") ;; *) return 1 ;; esac
        [ "$part" != / ] || return 0
        part=${part%/*}
        part=${part:-/}
    done
}
search() {
    for python in "$1"/python3 "$1"/python3.[0-9] "$1"/python3.[0-9][0-9]; do
        real=$(readlink -f "$python" 2>/dev/null) && [ -f "$real" ] || continue
        if [ -e "${real%/*}/pyvenv.cfg" ] || [ -e "${real%/*}/../pyvenv.cfg" ]; then
            continue
        elif harmless "$real"; then
            try "$real"
        else
            found="$found, $python is left out because another user may change it"
        fi
    done
}
IFS=:
for folder in $PATH; do
    unset IFS
    case $folder in /*) search "$folder" ;; esac
done
unset IFS
for folder in @places@; do
    search "$folder"
done
printf '\\n{"setup": 1, "old": "%s"}\\n' "$(printf %s "${found#, }" | tr -cd 'A-Za-z0-9_./, -')"
"""
_TRY_SECONDS = 10
_BEGIN = (
    "import json, sys; order = json.loads(sys.stdin.buffer.raw.readline()); "  # and nothing of what follows
    'exec(compile(order.pop("script"), "karafka.setup", "exec")); begin(order)'
)


def opening(order: dict[str, Any]) -> bytes:
    """Return what is sent before the wheels.

    Parameters
    ----------
    order : what remote.py reads; its `python` is the interpreter that a setting names, empty for none.
    """
    search = _SEARCH.replace("@places@", " ".join(order["places"])).replace("@begin@", _BEGIN)
    search = search.replace("@seconds@", str(_TRY_SECONDS)).replace("@named@", shlex.quote(order["python"]))
    script = (resources.files(__package__) / "remote.py").read_text()
    return f"{search}end\n{json.dumps({**order, 'script': script})}\n".encode()
