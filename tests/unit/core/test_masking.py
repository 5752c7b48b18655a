"""Secrets are taken out of all texts by their values, and nothing else is."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ops.core import envfile, masking
from ops.core.guarded import Guarded, write_json
from ops.core.masking import COMMON, MASK, Secrets, sounds_secret

NAMES = (
    *("DB_PASS", "DBPASS", "MYSQL_PWD", "PGPASS", "PGPASSWORD", "SENTRY_DSN", "KEY_PASSPHRASE", "SASL_JAAS_CONFIG"),
    *(
        "API_KEY",
        "apiKey",
        "GITHUB_TOKEN",
        "GITHUB_PAT",
        "AWS_SECRET_ACCESS_KEY",
        "REDISCLI_AUTH",
        "HTTP_AUTHORIZATION",
    ),
    *(
        "LDAP_BINDPW",
        "SLACK_WEBHOOK",
        "SECRET_KEY_BASE",
        "PRIVATE_KEY",
        "DB_CREDENTIALS",
        "AZURE_CONNECTION_STRING",
        "passphrase",
    ),
)
OTHERS = (
    *(
        "PWD",
        "OLDPWD",
        "GIT_AUTHOR_NAME",
        "PATH",
        "BYPASS_CACHE",
        "PASSENGER_APP_ENV",
        "KEYBOARD",
        "KEYSPACE",
        "COMPASS",
    ),
    *("HOST", "MONKEY", "PORT", "PATTERN", "PASSIVE"),
)
SECRET = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"), min_size=12)


def lowered(encoded: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Secrets:
    """What this process knows, for this test alone."""
    secrets = Secrets()
    for module in ("ops.core.masking", "ops.core.plain", "ops.core.guarded", "ops.core.envfile"):
        monkeypatch.setattr(f"{module}.SECRETS", secrets)
    return secrets


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_a_secret_is_known(name: str) -> None:
    assert sounds_secret(name)


@pytest.mark.parametrize("name", OTHERS)
def test_a_name_of_something_else_is_left_alone(name: str) -> None:
    assert not sounds_secret(name)


@example("p@ss/w?rd#1 %2F")
@example("""it's "quoted" $HOME \\ `x`""")
@given(SECRET.filter(lambda value: len(set(value.strip())) > 8 and not value.strip().isdigit()))
def test_a_known_value_is_in_no_text_whatever_it_is_written_as(value: str) -> None:
    # Given a secret of the settings that is no word of the tool's own
    assume(value.strip().lower() not in COMMON)
    secrets = Secrets()
    secrets.learn({"env": {"DB_PASS": value}})
    forms = (
        *(value, quote(value), quote(value, safe=""), lowered(quote(value, safe="")), json.dumps(value)[1:-1]),
        *(quote(value, safe="@!$'()"), quote_plus(value), quote(quote(value, safe=""), safe="%"), repr(value)[1:-1]),
        *(value.replace("%", "%%"), value.replace("$", "$$"), json.dumps(json.dumps(value))[3:-3], html.escape(value)),
        *(json.dumps(value)[1:-1].replace("/", r"\/"), repr(value.encode())[2:-1], re.sub(r"(\W)", r"\\\1", value)),
        *(quote(quote(quote(value, safe=""))), value.replace("'", r"'\''"), value.replace("\\", "\\\\")),
        *(base64.b64encode(value.encode()).decode(), base64.urlsafe_b64encode(value.encode()).decode()),
    )
    # When it is said in any of these forms
    for form in forms:
        # Then it is not there
        assert form not in secrets.hide(f"it said <{form}> and went"), form


@given(SECRET.filter(lambda value: len(set(value.strip())) > 8), st.binary(max_size=9), st.binary(max_size=9))
def test_a_known_value_is_found_in_base64_wherever_it_begins(value: str, before: bytes, behind: bytes) -> None:
    # Given a secret of the settings
    assume(value.strip().lower() not in COMMON and not value.strip().isdigit())
    secrets = Secrets()
    secrets.learn({"DB_PASS": value})
    # When it is encoded with what stands before and behind it, as a user and a password are for HTTP
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        shown = secrets.hide(f"Authorization: Basic {encode(before + value.encode() + behind).decode()}")
        # Then nothing is left of it but what is of the others' characters, too
        assert MASK in shown
        assert len(shown) <= len("Authorization: Basic ") + len(MASK) + (len(before) + len(behind) + 6) * 4 / 3


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://ghp_0123456789abcdef@github.com/o/r.git", ["ghp_0123456789abcdef"]),
        ("https://oauth2:glpat-abcdef123@gitlab.com/o/r.git", ["glpat-abcdef123"]),
        ("https://0123456789abcdef01:x-oauth-basic@github.com/o/r", ["0123456789abcdef01"]),
        ("https://user:pa/ss@wo:rd@host/o/r.git", ["pa/ss@wo:rd", "pa/ss"]),
        ("https://user:p@ssw0rd@host/o/r@v2.git", ["p@ssw0rd"]),
        ("postgresql+psycopg://app:s3cret!!@db/app", ["s3cret!!"]),
        ("redis://:only-a-password@cache:6379/0", ["only-a-password"]),
        ("jdbc:postgresql://db/app?user=app&password=qu3ry-s3cret", ["qu3ry-s3cret"]),
        ("https://user:enc%40ded%2Fone@host/r", ["enc%40ded%2Fone", "enc@ded/one", "enc%40ded%2fone", "enc@ded%2Fone"]),
        ("amqps://svc:l0ng-enough@mq1:5671,mq2:5671/v", ["l0ng-enough"]),
    ],
)
def test_every_userinfo_of_a_url_is_taken_out(url: str, parts: list[str]) -> None:
    # Given a URL under a name that tells nothing
    secrets = Secrets()
    secrets.learn({"repo_url": url})
    # Then neither the URL nor any other text shows its secrets
    for part in parts:
        assert part not in secrets.hide(f"fatal: unable to access '{url}': no")
        assert part not in secrets.hide(f"Password {part} was refused")
    # And one that nobody has learned is not shown either, where it is one for sure
    assert not any(part in Secrets().hide(url) for part in parts if "@" in url and "/" not in part)


@pytest.mark.parametrize(
    "text",
    [
        "http://db:5432/app",
        "ssh://git@host/o/r.git",
        "git+ssh://git@host/o/r.git",
        "git@host:o/r.git",
        "see https://example.com/a/@scope/b and me@example.com",
        "git+https://github.com/o/r.git@v1.2",
        "true 1 a web1 production running",
        "orders-group ~/.ssh/id_ed25519 git@host:o/r.git",
    ],
)
def test_what_has_no_secret_stays_as_it_is(text: str) -> None:
    # Given the settings that would make output unreadable: short values, common words, names of hosts
    secrets = Secrets()
    secrets.learn({"A_PASS": "a", "B_PASS": "true", "C_PASS": 1, "D_PASS": "web1", "E_PASS": "running", "F_KEY": True})
    secrets.learn({"G_PASS": "production", "H_PASS": "", "I_PASS": None, "SSL_KEY_FILE": "/etc/ssl/app.key"})
    secrets.learn({"url": text, "key_filename": ["~/.ssh/id_ed25519"]})
    secrets.learn({"roles": {"token-service": {"consumer_groups": ["orders-group"]}}})
    secrets.spare(["web1"])
    # Then it stays
    assert secrets.hide(text) == text
    assert secrets.hide("/etc/ssl/app.key") == "/etc/ssl/app.key"


def test_a_short_value_is_taken_out_only_where_it_stands_alone() -> None:
    # Given a short password
    secrets = Secrets()
    secrets.learn({"DB_PASS": "h1dd"})
    # Then it is hidden as a word, and no other word is torn
    assert secrets.hide("h1dd 'h1dd' x=h1dd h1dden") == f"{MASK} '{MASK}' x={MASK} h1dden"


def test_values_within_other_values_are_learned() -> None:
    # Given commands and configurations that carry passwords
    secrets = Secrets()
    secrets.learn({"command": "bin/run --db-password=opt1on-one --api-token opt1on-two --color blue"})
    secrets.learn({"x": 'org.apache.PlainLoginModule required username="u" password="j4as-inner";'})
    secrets.learn({"DATABASE": "user:dsn-p@ss@tcp(db:3306)/app"})
    secrets.learn({"PEM_PRIVATE_KEY": "-----BEGIN KEY-----\nMIIabcdefgh\n-----END KEY-----"})
    # Then each of them is hidden alone
    for one in ("opt1on-one", "opt1on-two", "j4as-inner", "MIIabcdefgh", "dsn-p@ss"):
        assert one not in secrets.hide(f"it was {one}")
    assert secrets.hide("blue u run") == "blue u run"


@pytest.mark.parametrize(
    ("data", "secret"),
    [
        ({"HOOK": "https://host.example.com/in?access_token=first-0f-query"}, "first-0f-query"),
        ({"JAVA_OPTS": "opts=-Dsasl.password=w1thin-another"}, "w1thin-another"),
        ({"HEADER": "Authorization: Bearer behind.a.sch3me"}, "behind.a.sch3me"),
        ({"HEADERS": "X-Trace: 1, Authorization: Basic dXNlcjpwYXNz"}, "dXNlcjpwYXNz"),
        ({"HTTP_AUTHORIZATION": "Bearer value.of.sch3me"}, "value.of.sch3me"),
        ({"BASIC_AUTH": "user:behind-a-us3r"}, "behind-a-us3r"),
        ({"CONFIG": json.dumps({"client_secret": 'quoted"1nside'})}, 'quoted"1nside'),
        ({"CONFIG": json.dumps({"client_secret": 'quoted"1nside'})}, json.dumps('quoted"1nside')[1:-1]),
        ({"ODBC": "Uid=app;Pwd={1n;braces};Encrypt=yes"}, "1n;braces"),
        ({"secrets": {"billing": "b3low-a-name"}}, "b3low-a-name"),
        ({"db": {"password": {"value": "b3low-a-name"}}}, "b3low-a-name"),
    ],
)
def test_a_secret_is_found_behind_whatever_stands_before_it(data: dict[str, object], secret: str) -> None:
    # Given a value in which another name, a scheme, a user or a mapping comes before the secret
    secrets = Secrets()
    secrets.learn(data)
    # Then it is hidden by itself
    assert secret not in secrets.hide(f"it was <{secret}> today")


def test_words_of_a_scheme_and_names_beside_secrets_stay() -> None:
    # Given a scheme without anything behind it, and what stands beside a secret
    secrets = Secrets()
    secrets.learn(
        {"auth": "Basic", "auth_options": {"realm": "warehouse"}, "URL": "https://h/?user=walter&token=t0ken-t0ken"}
    )
    # Then they are shown
    assert secrets.hide("Basic warehouse walter") == "Basic warehouse walter"


def test_a_key_that_is_none_of_a_lock_is_no_secret_within_a_command() -> None:
    # Given options that name fields
    secrets = Secrets()
    secrets.learn({"command": "bin/run --partition-key=customers --key-field orders --api-key=r3al-secret"})
    # Then only the one that opens something is hidden
    assert secrets.hide("customers orders r3al-secret") == f"customers orders {MASK}"


def test_a_secret_behind_an_option_of_an_argv_is_hidden() -> None:
    # Given words as a program gets them: options with a value, without one, and one that names a field
    secrets = Secrets()
    secrets.learn(
        ("run", "--password", "walnut-harbour", "--token", "--verbose", "-p", "plain-word", "--key-field", "orders")
    )
    # Then what stands behind a secret's name is one, and nothing else
    assert secrets.hide("walnut-harbour --verbose plain-word orders") == f"{MASK} --verbose plain-word orders"


def test_json_stays_json_whatever_the_secrets_are(known: Secrets) -> None:
    # Given secrets that look like numbers, and like JSON
    known.learn({"PIN_PASS": "1234567", "J_SECRET": '": "', "K_SECRET": "offset-of-it"})
    # When data is written
    raw = io.StringIO()
    write_json(Guarded(raw), {"offset": 1234567, "text": "pin 1234567", "a": "b", "offset-of-it": "x"})  # type: ignore[arg-type]
    # Then it is the same data without them
    assert json.loads(raw.getvalue()) == {"offset": 1234567, "text": f"pin {MASK}", "a": "b", "offset-of-it": "x"}


def test_no_way_of_writing_lets_a_secret_out(known: Secrets) -> None:
    # Given a secret, and a guarded stream
    known.learn({"DB_PASS": "hunter2hunter2"})
    raw = io.StringIO()
    guarded = Guarded(raw)
    # When it is written in parts, in a line that never ends
    for part in ("it is hunter2", "hunter2 and", " hun", "ter2hunter2"):
        guarded.write(part)
    guarded.finish()
    # Then it is not there
    assert raw.getvalue() == f"it is {MASK} and {MASK}\n"


def test_what_an_env_file_has_is_known_once_it_was_read(known: Secrets, tmp_path: Path) -> None:
    # Given an env file
    path = tmp_path / "karafka.env"
    path.write_text("DB_PASS='from the file'\nPLAIN=stays-as-it-is\nURL=amqp://u:fr0m-a-url@mq/\n")
    path.chmod(0o600)
    # When it is read
    envfile.read(path)
    # Then its secrets are hidden, and the rest is not
    assert known.hide("from the file fr0m-a-url stays-as-it-is") == f"{MASK} {MASK} stays-as-it-is"


@pytest.mark.timeout(20)
def test_no_hostile_line_takes_long() -> None:
    # Given lines that are made to be slow
    secrets = Secrets()
    secrets.learn({"DB_PASS": "hunter2hunter2"})
    secrets.learn({f"PASS_{one}": one * 9 + "x" for one in ("!", "%", "$", "'", "é", "\\", "&", "\n", "+")})
    secrets.learn({"A_PASS": "\\%\\%'$&éüöäß\\\\\\!\\ @@@ \n\n\n\x01\x02"})
    runs = ("\\", "%", "%25", "&amp;", "\ufffd", "!", "$", "'", "é", r"\u00e9", r"\xc3", "\n", "+", " ")
    for part in ("a://a:a", "://", "a" * 50, "@", "password=", "x:y@", "--key ", *runs):
        text = part * (20_000 // len(part))
        # Then they are read and hidden in no time
        secrets.hide(text)
        Secrets().learn({"text": text})


def test_the_registry_of_a_process_is_one() -> None:
    assert masking.SECRETS is envfile.SECRETS
