"""Supervisor's conf and env files, read back by supervisor itself and by the wrapper's reader."""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from supervisor.options import ServerOptions, UnhosedConfigParser

from ops.core import envfile
from ops.core.errors import SettingsError
from ops.core.section import load
from ops.core.settings import Settings
from ops.fleet.plan import process_specs
from ops.render.programs import argument, supervisor_files
from ops.render.templates import FileRecord

WORDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\n\r\0"))


def settings(**changes: Any) -> Settings:
    section = {
        "application": "sources",
        "deploy_to": "/srv/sources",
        "command": ["bin/work", "--all"],
        "processes": 2,
        "manager": "supervisor",
        "stages": {"production": {"hosts": [{"host": "web1"}]}},
    }
    return load({**section, **changes})


def files(**changes: Any) -> tuple[FileRecord, ...]:
    made = settings(**changes)
    return supervisor_files(made, made.hosts[0], process_specs(made, made.hosts[0]), user="root")


def parser(text: str) -> Any:
    found = UnhosedConfigParser()
    found.read_file(io.StringIO(text))
    found.expand_here("/etc/supervisor")
    return found


@given(WORDS)
@example("a ;b #c")
@example("50% of %(here)s %%(here)s %(ENV_HOME)s")
@example('it\'s "quoted" \\ ')
@example(";first")
def test_any_word_of_a_command_reaches_the_process(word: str) -> None:
    # Given a conf file with any word in a command
    text = f"[program:one]\ncommand =\n    first\n    {argument(word)} last\n"
    # When supervisor reads it
    command = parser(text).saneget("program:one", "command", None)
    # Then the word is whole
    assert shlex.split(command) == ["first", word, "last"]


def test_each_process_is_a_program_and_group_of_its_own(tmp_path: Path) -> None:
    # Given the files of two processes
    (tmp_path / "shared/log").mkdir(parents=True)  # supervisor refuses a program whose log has no folder
    env = {"NOTE": 'a "b" $c `d` \\e ;f'}
    conf, *envs = files(deploy_to=str(tmp_path), env=env, start_timeout_seconds=20, stop_timeout_seconds=30)
    # Then the conf lies where supervisor includes it, the env files in shared/ for nobody else to read
    assert (conf.path, conf.mode) == ("/etc/supervisor/conf.d/karafka-sources.conf", 0o644)
    assert [one.path for one in envs] == [f"{tmp_path}/shared/programs/karafka-{index}.env" for index in (0, 1)]
    assert {one.mode for one in envs} == {0o600}
    # And supervisor makes a group of each, with the settings' times and the margins that the wrapper needs
    options = ServerOptions()
    groups = options.process_groups_from_parser(parser(conf.text))
    assert [one.name for one in groups] == ["karafka-sources@karafka-0", "karafka-sources@karafka-1"]
    program = groups[0].process_configs[0]
    assert (program.startsecs, program.stopwaitsecs) == (31, 36)
    assert (program.stopasgroup, program.killasgroup, program.autostart) == (True, True, False)
    # And supervisord, which may be root, opens no file of the application
    assert program.stdout_logfile is None
    assert options.parse_warnings == []
    # And the wrapper gets the whole command, its reader the whole environment
    words = shlex.split(program.command)
    assert words[:4] == [f"{tmp_path}/shared/karafka-ops/bin/python", "-I", "-m", "ops.node.wrapper"]
    assert words[-3:] == ["--", "bin/work", "--all"]
    env = envfile.parse(envs[1].text)
    assert env["NOTE"] == 'a "b" $c `d` \\e ;f'
    assert env["KARAFKA_INSTANCE_ID"] == "sources.web1.karafka.1"


def test_a_foreign_command_has_no_watchdog() -> None:
    # Given a command that never says WATCHDOG=1, then it is not ended for that
    assert "--watchdog" not in files()[0].text
    # And an app's processes are
    assert "--watchdog 60" in files(app="sources_app:app")[0].text
    assert "--watchdog" not in files(app="sources_app:app", supervisor={"watchdog_seconds": 0})[0].text


@pytest.mark.parametrize(
    "changes",
    [{"command": ["a\nb"]}, {"env": {"A": "b\nc"}}],
    ids=["command", "env"],
)
def test_what_supervisor_cannot_read_back_is_refused(changes: dict[str, Any]) -> None:
    # Given a value that no such file can carry, then it is refused before anything is written
    with pytest.raises(SettingsError):
        files(**changes)
