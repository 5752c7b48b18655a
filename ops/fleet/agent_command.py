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
# What is looked at: the folders above the interpreter by its name, and above all that links on the way lead to. Each
# has to be the caller's or root's, and writable for nobody else but a group of the caller's own name (umask 002).
# Where root may not run the application's own, it runs the one that setup has made for root.
_CHOOSE = """\
tool=$1 place=$2; shift 2; ids=$(LC_ALL=C id)
me=${ids#uid=}; name=${me#*(}; name=${name%%)*}; me=${me%%[ (]*}
own=${ids#*gid=}; group=${own#*(}; group=${group%%)*}; own=${own%%[ (]*}; [ "$group" = "$name" ] || own=none
way() {
    set -- "$1" "$1"
    while [ "$1" != / ]; do
        printf '%s\\n' "$1"
        if [ -L "$1" ]; then
            set -- "$1" "$(readlink -- "$1")"
            case $2 in /*) (way "$2");; *) (way "${1%/*}/$2");; esac
        fi
        set -- "${1%/*}"; set -- "${1:-/}"
    done
}
sound() {
    [ -x "$1" ] || return 1
    set -f; IFS='
'; set -- / $(way "$1"); unset IFS; set +f
    why=$(LC_ALL=C ls -ldn -- "$@" | while read -r mode links uid gid size month day time path; do
        case $mode in l*) continue;; esac
        case $uid in 0|"$me") ;; *) echo "user $uid can change $path"; break;; esac
        case $mode in
        ?????????[tT]*) ;;
        ????????w*) echo "everybody can change $path"; break;;
        ?????w*) [ "$gid" = "$own" ] || { echo "group $gid can change $path"; break; };;
        esac
    done)
    [ -z "$why" ]
}
why=; ! sound "$tool" || exec "$tool" "$@"; said=$why
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
