"""Settings: checked whole before anything is done, naming key path and value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.errors import SettingsError
from ops.core.section import from_environment, load, override, stage_names
from ops.core.section_hints import CAPISTRANO
from ops.core.settings import Become, Hook, Host, Kafka, Role, Rollout, Settings, Supervisor, Systemd, ToolIndex

LEAST: dict[str, Any] = {"application": "sources", "deploy_to": "/srv/sources", "command": "run"}
HOSTS = [{"host": "web1"}, {"host": "web2"}]
WITH_ROLES = {"production": {"hosts": [{"host": "web1", "roles": ["karafka"]}]}}


def section(**more: Any) -> dict[str, Any]:
    return {**LEAST, "stages": {"production": {"hosts": HOSTS}, "staging": {"hosts": [{"host": "s1"}]}}, **more}


def refused(raw: Any, stage: str | None = "production") -> str:
    with pytest.raises(SettingsError) as caught:
        load(raw, stage)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_least_settings_get_their_defaults() -> None:
    # Given an application, a folder, a command and hosts
    settings = load(section(), "production")
    # Then everything else has its default
    assert settings.stage == "production"
    assert settings.argv == ("run",)
    assert [host.host for host in settings.hosts] == ["web1", "web2"]
    assert (settings.processes, settings.pool, settings.main_role) == (1, 16, "karafka")
    assert settings.rollout.strategy == "rolling"


def test_a_stage_wins_over_the_section_also_deep_inside() -> None:
    # Given a stage with keys of its own
    own = {"hosts": HOSTS, "processes": 4, "env": {"B": "stage"}, "kafka": {"brokers": ["s:1"]}}
    settings = load(section(env={"A": "section", "B": "section"}, stages={"production": own}))
    # Then they win, and what they do not have stays
    assert settings.processes == 4
    assert settings.env == {"A": "section", "B": "stage"}
    assert settings.kafka.brokers == ("s:1",)


def test_the_stage_is_the_named_one_the_default_one_or_the_only_one() -> None:
    # Given several stages
    # Then the name on the command line wins over the default one
    assert load(section(stage="staging")).stage == "staging"
    assert load(section(stage="staging"), "production").stage == "production"
    # And the only one needs no name
    assert load(section(stages={"one": {"hosts": HOSTS}})).stage == "one"
    # And without any of that the stages are named
    assert "production, staging" in refused(section(), None)
    assert "'none'" in refused(section(), "none")
    assert stage_names(section()) == ("production", "staging")


@pytest.mark.parametrize("path", ["/srv/app/", "//srv/app", "/srv//app", "/srv/./app/.", "/srv/app"])
def test_an_applications_folder_has_one_spelling(path: str) -> None:
    # Given another spelling of it, for all hosts and for one
    found = load(section(deploy_to=path, stages={"one": {"hosts": [{"host": "web1", "deploy_to": path}]}}))
    # Then it is the plain one, which names on the hosts are made of
    assert (found.deploy_to, found.hosts[0].deploy_to) == ("/srv/app", "/srv/app")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (None, ["karafka: expected a mapping", "None"]),
        ([], ["karafka: expected a mapping"]),
        ({}, ["karafka.stages"]),
        (section(stages={}), ["karafka.stages"]),
        (section(stages={"production": None}), ["karafka.stages.production", "None"]),
        (section(stages={"production": {"hosts": []}}), ["karafka.stages.production.hosts"]),
        (section(stages={"production": {}}), ["karafka.stages.production.hosts", "missing"]),
        (section(hosts=HOSTS), ["karafka.hosts", "stage"]),
        (section(colour="red"), ["karafka.colour", "unknown key"]),
        (
            section(stages={"production": {"hosts": HOSTS, "colour": 1}}),
            ["karafka.stages.production.colour", "unknown"],
        ),
        (section(kafka={"broker": []}), ["karafka.kafka.broker", "unknown key"]),
        (section(stages={"production": {"hosts": [{"host": "a", "ports": 1}]}}), ["hosts[0].ports", "unknown key"]),
        (section(stages={"production": {"hosts": [{"address": "a"}]}}), ["hosts[0].host", "missing"]),
        (section(stages={"production": {"hosts": ["web1"]}}), ["hosts[0]", "'web1'"]),
        (section(stages={"production": {"hosts": [*HOSTS, {"host": "web1"}]}}), ["hosts[2].host", "'web1'", "twice"]),
        (section(stages={"production": {"hosts": [{"host": "a b"}]}}), ["hosts[0].host", "letters, digits", "'a b'"]),
        (section(stages={"production": {"hosts": [{"host": "a", "port": 0}]}}), ["hosts[0].port", "0"]),
        (section(application=None), ["karafka.application: expected text, got nothing"]),
        (section(processes="two"), ["karafka.processes: expected a whole number, got text: 'two'"]),
        (section(processes=0), ["karafka.processes: expected a whole number >= 1, got 0"]),
        (section(pool=3.5), ["karafka.pool: expected a whole number, got a number: 3.5"]),
        (section(linked_dirs="log"), ["karafka.linked_dirs: expected a list, got text: 'log'"]),
        (section(systemd=[]), ["karafka.systemd: expected a mapping, got a list: []"]),
        (section(systemd={"sudo": "yes"}), ["karafka.systemd.sudo: expected true or false, got text: 'yes'"]),
        (section(build=None), ["karafka.build: expected true or false or text or a list, got nothing"]),
        (section(manager="systmd"), ["karafka.manager: expected pidfile, systemd or supervisor, got 'systmd'"]),
        (section(hooks={"after-updated.sh": {"on": "host"}}), ["updated.sh.on: expected local or hosts, got 'host'"]),
        (section(rollout={"batch": "20 %"}), ["karafka.rollout.batch: expected a number of hosts", "1%", "'20 %'"]),
        (section(rollout={"batch": [1, "all"]}), ["karafka.rollout.batch[1]: expected a number of hosts", "'all'"]),
        (section(app="x"), ["karafka.app: expected a Python object, as module:name, got 'x'"]),
        (section(branch="a b"), ["karafka.branch: expected a branch, tag or commit, got 'a b'"]),
        (section(processes=True), ["karafka.processes", "True"]),
        (section(deploy_to="srv"), ["karafka.deploy_to", "absolute", "'srv'"]),
        (section(deploy_to="/"), ["karafka.deploy_to", "folder of the application's own"]),
        (section(deploy_to="//srv/../."), ["karafka.deploy_to", "folder of the application's own"]),
        (section(deploy_to="/srv/other/../app"), ["karafka.deploy_to", "without `..`", "'/srv/other/../app'"]),
        (section(repo_url="https://u:p w@h/r.git"), ["karafka.repo_url", "without blanks", "%20"]),
        (section(linked_dirs=["~/log"]), ["karafka.linked_dirs[0]", "'~/log'", "home"]),
        (section(pid="/run/k.pid"), ["karafka.pid", "below shared/"]),
        (section(pid="../k.pid"), ["karafka.pid", "below shared/"]),
        (section(command=""), ["karafka.command"]),
        (section(command="a 'b"), ["karafka.command", '"a \'b"']),
        (section(command=["a", 1]), ["karafka.command[1]", "1"]),
        (section(kafka={"brokers": ["localhost"]}), ["karafka.kafka.brokers", "host:port", "'localhost'"]),
        (section(kafka={"brokers": ["a..b:9092"]}), ["karafka.kafka.brokers", "host:port", "'a..b:9092'"]),
        (section(env={"A": ["x"]}), ["karafka.env.A", "['x']"]),
        (section(role="nobody", stages=WITH_ROLES), ["karafka.role", "'nobody'"]),
        (section(roles={"big": {"processes": 2}}), ["karafka.roles.big", "no host"]),
        (
            section(stages={"production": {"hosts": [{"host": "web1"}, {"host": "web2", "roles": ["karafk"]}]}}),
            ["karafka.stages.production.hosts[1].roles", "'karafk'", "did you mean 'karafka'?"],
        ),
        (section(roles={"karafka": {"threads": 2}}), ["karafka.roles.karafka.threads", "unknown key"]),
        (section(roles={"a b": {}}), ["karafka.roles", "letters, digits", "a b"]),
        (section(processes=2, consumer_groups=["a"]), ["karafka.consumer_groups", "1 entries for 2 processes"]),
        (
            section(linked_dirs=["log", "config"], linked_files=["config"]),
            ["linked_files[0]", "'config'", "linked_dirs"],
        ),
        (section(linked_dirs=["a/b/c"], linked_files=["a/b"]), ["karafka.linked_dirs[0]", "'a/b'", "linked_files"]),
        (section(linked_files=["a", "a/b"]), ["karafka.linked_files[1]", "'a/b'", "'a'", "a file by linked_files"]),
        (section(linked_dirs=["tmp/"]), ["karafka.linked_dirs[0]", "written as 'tmp'", "'tmp/'"]),
        (section(linked_dirs=["./.cache//x"]), ["karafka.linked_dirs[0]", "written as '.cache/x'"]),
        (section(linked_files=["../karafka.env"]), ["karafka.linked_files[0]", "below shared/", "'../karafka.env'"]),
        (section(linked_files=["/etc/passwd"]), ["karafka.linked_files[0]", "below shared/", "'/etc/passwd'"]),
        (section(linked_files=["a\0b"]), ["karafka.linked_files[0]", "\\x00"]),
        (section(linked_files=["REVISION"]), ["karafka.linked_files[0]", "REVISION of its own"]),
        (section(linked_dirs=[".venv"]), ["karafka.linked_dirs", "'.venv'", "default build"]),
        (section(rollout={"strategy": "quick"}), ["karafka.rollout.strategy", "'quick'"]),
        (section(stages={"production": {"hosts": HOSTS, "stage": "x"}}), ["production.stage", "unknown key"]),
    ],
)
def test_what_is_wrong_is_named_by_key_path_and_value(raw: Any, words: list[str]) -> None:
    # Given settings with one thing wrong
    text = refused(raw)
    # Then the text leads there
    for word in words:
        assert word in text, text


def test_a_stage_that_is_not_asked_for_is_checked_too() -> None:
    # Given an error in another stage
    raw = section(stages={"production": {"hosts": HOSTS}, "staging": {"hosts": [{"host": "s", "port": "x"}]}})
    # Then it is found before anything is done
    assert "karafka.stages.staging.hosts[0].port" in refused(raw)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
known = st.sampled_from(
    [
        "application",
        "command",
        "processes",
        "pool",
        "env",
        "roles",
        "role",
        "kafka",
        "rollout",
        "consumer_groups",
        "pid",
    ]
)


@given(st.dictionaries(known | st.text(max_size=6), junk, max_size=3))
def test_whatever_the_file_says_the_answer_is_settings_or_an_error_of_ours(more: dict[str, Any]) -> None:
    # Given any values in the section
    found = load_or_refuse(section(**more))
    # Then they fit, or are refused by key path
    if isinstance(found, SettingsError):
        assert found.where.startswith("karafka")
    else:
        assert found.argv


@given(st.dictionaries(st.sampled_from(["host", "address", "port", "user", "roles", "env", "x"]), junk, max_size=4))
def test_whatever_a_host_says_the_answer_is_settings_or_an_error_of_ours(host: dict[str, Any]) -> None:
    # Given any values of a host
    found = load_or_refuse(section(stages={"production": {"hosts": [host]}}))
    # Then it fits, or is refused by key path
    if isinstance(found, SettingsError):
        assert found.where.startswith("karafka")
    else:
        assert found.hosts[0].host == host["host"]


@given(junk)
def test_whatever_stands_for_hosts_or_stages_is_no_crash(value: Any) -> None:
    # Given anything in the place of hosts, or of all stages
    for raw in (section(stages={"production": {"hosts": value}}), section(stages=value)):
        found = load_or_refuse(raw)
        # Then it is refused by key path: nothing generated here is a host
        assert isinstance(found, SettingsError)
        assert found.where.startswith("karafka")


def load_or_refuse(raw: dict[str, Any]) -> Settings | SettingsError:
    try:
        return load(raw, "production")
    except SettingsError as error:
        return error


def test_the_environment_gives_single_values_in_their_type() -> None:
    # Given variables
    found = from_environment(
        {
            "FABRIC_KARAFKA_POOL": "9",
            "FABRIC_KARAFKA_START_TIMEOUT_SECONDS": "1.5",
            "FABRIC_KARAFKA_ROLLOUT_STRATEGY": "all",
            "FABRIC_KARAFKA_COMMAND": "run it",
            "FABRIC_USER": "app",
            "KARAFKA_ENV": "x",
        }
    )
    # Then each is of its setting's type, and others' variables are left alone
    assert found == {"pool": 9, "start_timeout_seconds": 1.5, "rollout": {"strategy": "all"}, "command": "run it"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FABRIC_KARAFKA_POOL", "abc"),
        ("FABRIC_KARAFKA_POOL", "0"),
        ("FABRIC_KARAFKA_POOL", ""),
        ("FABRIC_KARAFKA_POOOL", "9"),
        ("FABRIC_KARAFKA_KAFKA_BROKERS", "k1:9092"),
        ("FABRIC_KARAFKA_HOSTS", "web1"),
        ("FABRIC_KARAFKA_READINESS", "false"),
    ],
)
def test_a_variable_that_does_not_fit_is_named(variable: str, value: str) -> None:
    # Given a value that its setting can't have, a list, or no setting at all
    with pytest.raises(SettingsError) as caught:
        from_environment({variable: value})
    # Then the variable is named
    assert caught.value.where == variable


def test_a_variable_that_is_one_of_a_few_texts_is_answered_with_them() -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment({"FABRIC_KARAFKA_ROLLOUT_STRATEGY": "quick"})
    assert caught.value.what == "expected rolling or all, got 'quick'"


def test_a_value_from_the_environment_wins_over_a_stages_own() -> None:
    # Given a stage with its own pool, and one without
    raw = section(stages={"production": {"hosts": HOSTS, "pool": 2}, "staging": {"hosts": HOSTS}})
    # When a value is laid over it
    merged = override(raw, {"pool": 9})
    # Then both have it
    assert load(merged, "production").pool == 9
    assert load(merged, "staging").pool == 9
    assert raw["stages"]["production"]["pool"] == 2


@pytest.mark.parametrize(
    ("more", "where", "words"),
    [
        ({"keep_release": 3}, "karafka.keep_release", "did you mean keep_releases?"),
        ({"Linked-Dirs": []}, "karafka.Linked-Dirs", "did you mean linked_dirs?"),
        ({"kafka": {"broker": ["k:9092"]}}, "karafka.kafka.broker", "did you mean brokers?"),
        ({"rollout": {"canaries": 1}}, "karafka.rollout.canaries", "did you mean canary?"),
        ({"brokers": ["k:9092"]}, "karafka.brokers", "did you mean kafka.brokers?"),
        ({"kafka": {"branch": "x"}}, "karafka.kafka.branch", "did you mean karafka.branch?"),
        ({"copy_exclude": [".git"]}, "karafka.copy_exclude", "export-ignore"),
        ({"migration_role": "db"}, "karafka.migration_role", "a hook"),
        ({"karafka_role": "x"}, "karafka.karafka_role", "here it is `role`"),
        ({"stages": {"p": {"hosts": [{"host": "h", "adress": "x"}]}}}, "karafka.stages.p.hosts[0].adress", "address?"),
        ({"stages": {"p": {"pools": 1, "hosts": [{"host": "h"}]}}}, "karafka.stages.p.pools", "did you mean pool?"),
        ({"zzz": 1}, "karafka.zzz", "an annotated example"),
    ],
)
def test_an_unknown_key_is_named_with_what_may_have_been_meant(more: dict[str, Any], where: str, words: str) -> None:
    # Given a key that is none of the settings'
    # Then the error names it, and what it may be here
    with pytest.raises(SettingsError) as caught:
        load(section(**more), "p" if "stages" in more else "production")
    assert caught.value.where == where
    assert words in caught.value.hint


PLACES: dict[tuple[str | int, ...], type[msgspec.Struct]] = {
    (): Settings,
    ("kafka",): Kafka,
    ("rollout",): Rollout,
    ("systemd",): Systemd,
    ("supervisor",): Supervisor,
    ("become",): Become,
    ("tool",): ToolIndex,
    ("hooks", "after-updated.sh"): Hook,
    ("roles", "big"): Role,
    ("stages", "p", "hosts", 0): Host,
    ("stages", "p", "hosts", 0, "become"): Become,
}


@pytest.mark.parametrize("place", PLACES)
def test_every_key_that_is_mistyped_anywhere_in_the_settings_is_answered_with_the_one_that_was_meant(
    place: tuple[str | int, ...],
) -> None:
    every = {name for kind in PLACES.values() for name in kind.__struct_fields__}
    for name in PLACES[place].__struct_fields__:
        # Given a key with two letters swapped, one doubled, dashes, capitals
        swapped, doubled = name[0] + name[2:3] + name[1:2] + name[3:], name[:2] + name[1:]
        for typed in {swapped, doubled, name.replace("_", "-"), name.upper()} - every:
            value: Any = {typed: 1}
            for key in reversed(place):
                value = [{"host": "h"} | value] if key == 0 else {key: value}
            if place == ("tool",):
                value["tool"] |= {"index": "https://x", "sha256": "0"}
            # Then the error names the place, and the key
            with pytest.raises(SettingsError) as caught:
                load(section(**value), "p" if "stages" in value else "production")
            assert caught.value.where.endswith(f".{typed}")
            assert re.search(rf"did you mean (.*\.)?{name}\b", caught.value.hint), (typed, caught.value.hint)


@pytest.mark.parametrize(
    ("more", "what", "hint"),
    [
        ({"manager": "sytemd"}, "expected pidfile, systemd or supervisor, got 'sytemd'", "did you mean systemd?"),
        ({"rollout": {"strategy": "rollling"}}, "expected rolling or all", "did you mean rolling?"),
        ({"hooks": {"x": {"on": "host"}}}, "expected local or hosts", "did you mean hosts?"),
        ({"readiness": 3}, "expected notify or alive, got 3", "an annotated example"),
    ],
)
def test_a_word_that_is_none_of_a_settings_words_is_answered_with_those(
    more: dict[str, Any], what: str, hint: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(section(**more), "production")
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_what_settings_of_capistrano_are_here_stands_in_the_page_for_those_who_come_from_there() -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/from-capistrano.md").read_text()

    assert {name for name in CAPISTRANO if f":{name}`" not in page} == set()
    assert set(CAPISTRANO) & set(Settings.__struct_fields__) == set()


@pytest.mark.parametrize("more", [{"deploy_to": "~/app"}, {"deploy_to": "~deploy/app"}])
def test_a_folder_below_a_home_is_refused_with_the_reason(more: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="only each host knows") as caught:
        load(section(**more))
    assert caught.value.where == "karafka.deploy_to"


def test_an_unknown_variable_of_the_settings_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment({"FABRIC_KARAFKA_PROCESES": "2"})
    assert caught.value.hint == "did you mean FABRIC_KARAFKA_PROCESSES?"
