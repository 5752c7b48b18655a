"""What is read of supervisord.conf, beside supervisor's own reading of it."""

from __future__ import annotations

import configparser
import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from supervisor.options import UnhosedConfigParser, expand

from ops.core.keeping import SUPERVISOR, Keeping
from ops.node import supervisor_conf
from ops.node.supervisor_conf import SupervisorConfError, credentials, patterns, program_file

LINE = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=12)


def kept(path: Path, text: str = "", **more: str) -> Keeping:
    """Return the manager of an application whose supervisord has this conf file."""
    if text:
        path.write_text(text)
    return Keeping(SUPERVISOR, "shop", conf=str(path), **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conf")


@given(LINE)
@example("a;b #c")
@example("a ;b")
@example("50%% of it")
@example("%(here)s")
@example("%(ENV_PASSWORD)s")
@example("50%")
def test_a_password_is_read_as_supervisor_reads_it(folder: Path, password: str) -> None:
    # Given a socket with any password
    path = folder / "supervisord.conf"
    text = f"[unix_http_server]\nfile = /run/s\nusername = me\npassword = {password}\n"
    try:
        parser = UnhosedConfigParser()
        parser.read_file(io.StringIO(text))
        expected = expand(parser.get("unix_http_server", "password"), {"here": str(folder)}, "password")
    except (configparser.Error, ValueError):  # supervisord does not start with it
        return
    if not expected or expected.startswith("{"):
        return
    # Then it is what supervisord has
    assert credentials(kept(path, text)) == ("me", expected)


def test_what_only_supervisord_knows_is_refused_by_name(tmp_path: Path) -> None:
    text = "[unix_http_server]\nusername = me\npassword = %(ENV_SECRET)s\n"
    with pytest.raises(SupervisorConfError, match=r"only supervisord knows what %\(ENV_SECRET\)s stands for"):
        credentials(kept(tmp_path / "conf", text))


def test_a_hash_is_no_password_and_supervisorctls_own_is(tmp_path: Path) -> None:
    # Given a socket of whose password the conf file has the hash alone
    server = "[unix_http_server]\nusername = me\npassword = {SHA}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d\n"
    # Then it is said what a client needs, and no secret with it
    with pytest.raises(SupervisorConfError, match="that a client could use") as refused:
        credentials(kept(tmp_path / "conf", server))
    assert "82ab" not in str(refused.value)
    assert "karafka.supervisor.credentials" in str(refused.value)
    # And where supervisorctl has it, that is it
    client = "[supervisorctl]\nusername = me\npassword = thepassword\n"
    assert credentials(kept(tmp_path / "conf", server + client)) == ("me", "thepassword")


def test_a_file_of_credentials_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("[supervisorctl]\nusername = me\npassword = mine\n")
    path.chmod(0o640)
    with pytest.raises(SupervisorConfError, match="other users can read it"):
        credentials(kept(tmp_path / "conf", credentials=str(path)))
    path.chmod(0o600)
    assert credentials(kept(tmp_path / "conf", credentials=str(path))) == ("me", "mine")
    # And what is no conf file is not quoted
    path.write_text("password of mine: mine\n")
    with pytest.raises(SupervisorConfError) as refused:
        credentials(kept(tmp_path / "conf", credentials=str(path)))
    assert "mine" not in str(refused.value)


@pytest.mark.parametrize(
    ("files", "conf_d", "expected"),
    [
        ("conf.d/*.conf", "", "{here}/conf.d/karafka-shop.conf"),  # Debian
        ("supervisord.d/*.ini", "", "{here}/supervisord.d/karafka-shop.ini"),  # EPEL
        ("/etc/supervisor.d/*.ini", "", "/etc/supervisor.d/karafka-shop.ini"),  # Arch
        ("%(here)s/a/*.conf /b/*.ini", "", "{here}/a/karafka-shop.conf"),
        ("%(here)s/a/*.conf /b/*.ini", "/b", "/b/karafka-shop.ini"),
        ("%(here)s/a/*.conf\n    /b/*", "/b/", "/b/karafka-shop.conf"),
        ("/b/*.conf", "/c", ""),
        ("/b/one.conf /c/karafka-*.conf", "", "/c/karafka-shop.conf"),
        ("/b/other-*.conf", "", ""),
        ("/*/conf.d/*.conf", "", ""),
        ("", "", ""),
    ],
)
def test_the_conf_file_goes_where_supervisord_includes_it(
    tmp_path: Path, files: str, conf_d: str, expected: str
) -> None:
    # Given what supervisord includes
    text = f"[supervisord]\nnodaemon = true\n[include]\nfiles = {files}\n"
    # Then the file of an application has a folder and a suffix by which it does
    found = program_file(kept(tmp_path / "supervisord.conf", text), conf_d)
    assert found == expected.format(here=tmp_path)
    if found:
        assert Keeping(SUPERVISOR, "shop").is_conf(found)


def test_of_the_usual_places_that_counts_which_has_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two conf files where supervisord looks by itself
    places = [tmp_path / "first.conf", tmp_path / "second.conf"]
    for name, path in zip("ab", places, strict=True):
        path.write_text(f"[unix_http_server]\nfile = {tmp_path}/{name}\n[include]\nfiles = {name}/*.conf\n")
    monkeypatch.setattr(supervisor_conf, "PLACES", tuple(map(str, places)))
    # Then that of the socket is read, and the first where none has it
    assert patterns(Keeping(SUPERVISOR, "shop", socket=f"{tmp_path}/b")) == [f"{tmp_path}/b/*.conf"]
    assert patterns(Keeping(SUPERVISOR, "shop", socket="/elsewhere")) == [f"{tmp_path}/a/*.conf"]
    # And where there is none, that is said
    monkeypatch.setattr(supervisor_conf, "PLACES", ())
    with pytest.raises(SupervisorConfError):
        patterns(Keeping(SUPERVISOR, "shop"))
    assert program_file(Keeping(SUPERVISOR, "shop"), "") == ""
