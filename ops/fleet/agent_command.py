"""How a host's agent is started: as the user that works there, and from nowhere that another user could change."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

from ops.core.ownership import roots_folder

SUDO_HINT = "karafka.become needs a rule of sudo without a password: ME ALL=(USER) NOPASSWD: ALL; and no requiretty"
_NAME = "karafka-agent"
_SUDO = re.compile(r"^sudo:|sudo: (command )?not found|is not allowed to|sudoers")
_INTERPRETER = "karafka-ops/bin/python"
# What is looked at: the folders above the interpreter by its name, and above all that links on the way lead to, a round
# for what the one before has found. Each has to be the caller's or root's, and writable for nobody else but a group of
# the caller's own name (umask 002). Where root may not run the application's own, it runs the one that setup has made
# for root. A host pays for each program that is begun here before the agent is: so nobody is asked but ls.
_CHOOSE = """\
tool=$1 place=$2 me= own= why=; shift 2
while read -r key real uid more; do [ "$key" != Uid: ] || { me=$uid; break; }; done </proc/self/status
add() {
    one=$1
    while :; do
        case $seen in *"
$one
"*) return;; esac
        seen="$seen$one
" new="$new$one
"
        [ "$one" != / ] || return
        one=${one%/*}; one=${one:-/}
    done
}
owns() {
    [ -n "$own" ] || {
        ids=$(LC_ALL=C id); name=${ids#*(}; name=${name%%)*}
        own=${ids#*gid=}; group=${own#*(}; group=${group%%)*}; own=${own%%[ (]*}; [ "$group" = "$name" ] || own=none
    }
    [ "$1" = "$own" ]
}
judge() {
    path=/${1#*/}
    set -- $1
    case $1 in l*)
        case $path in *' -> '*' -> '*) why="nobody can tell where ${path%% -> *} leads to"; return;; esac
        to=${path#* -> } path=${path%% -> *}
        case $to in /*) add "$to";; *) add "${path%/*}/$to";; esac;;
    esac
    case $3 in 0|"$me") ;; *) why="user $3 can change $path";; esac
    case $1 in
    l*|?????????[tT]*) ;;
    ????????w*) why="everybody can change $path";;
    ?????w*) owns "$4" || why="group $4 can change $path";;
    esac
}
sound() {
    [ -x "$1" ] || return 1
    why= new= seen='
'
    add "$1"; add "$(cd -P -- "${1%/*}/" && pwd -P)"
    set -f
    while [ -n "$new" ]; do
        IFS='
'; set -- $new; new=
        list=$(LC_ALL=C TIME_STYLE=locale QUOTING_STYLE=literal ls -ldn -- "$@") || why="nobody can look at $1"
        for line in $list; do unset IFS; [ -n "$why" ] || judge "$line"; done
        unset IFS
        [ -z "$why" ] || break
    done
    set +f
    [ -z "$why" ]
}
! sound "$tool" || exec "$tool" "$@"; said=$why
[ "$me" != 0 ] || ! sound "$place" || exec "$place" "$@"
[ -n "$said" ] || { echo "$tool: not found" >&2; exit 127; }
echo "$said, so user $me does not run $tool" >&2; exit 126"""


def agent_command(python: str, deploy_to: str, become: str | None) -> tuple[str, ...]:
    """Return the argv of a host's agent; its last word is the module, another one may take its place.

    Parameters
    ----------
    python : the tool's interpreter, relative to deploy_to where setup makes it.
    become : the user that the agent works as, by sudo; None for the one who logs in.
    """
    place = "" if python.startswith("/") else f"{roots_folder(deploy_to)}/{_INTERPRETER}"
    python = str(PurePosixPath(deploy_to) / python)
    # -I: a folder named `ops` in the user's home is none of ours
    return (*by_sudo(become), "/bin/sh", "-c", _CHOOSE, _NAME, python, place, "-I", "-m", "ops.node")


def by_sudo(become: str | None) -> tuple[str, ...]:
    """Return what is put before an argv that another user than the one who logs in is to run; nothing for None."""
    return ("sudo", "-n", "-H", "-u", become, "--") if become is not None else ()


def sudo_refusal(command: Sequence[str], complaint: str) -> str:
    """Say why sudo has not run a command; empty where it is not sudo that complains.

    Parameters
    ----------
    complaint : the last line of standard error.
    """
    if command[0] != "sudo" or not _SUDO.search(complaint):
        return ""
    return f"nobody can become {command[command.index('-u') + 1]} here: {complaint.removeprefix('sudo: ')}"


def shown(command: Sequence[str]) -> str:
    """Return an agent's argv as people can read it: without what chooses the interpreter."""
    words = list(command)
    if _NAME in words:
        at = words.index(_NAME)
        words = [*words[: at - 3], words[at + 1], *words[at + 3 :]]
    return shlex.join(words)


def interpreter_of(command: Sequence[str]) -> str:
    """Return the interpreter that an agent's argv names."""
    words = list(command)
    return words[words.index(_NAME) + 1] if _NAME in words else words[0]
