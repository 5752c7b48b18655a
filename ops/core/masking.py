"""Secrets out of all that is shown, by their values: whoever says them, and whatever the words around them.

A value is secret when its name sounds like one, when it is the user or the password of a URL, or when it is assigned
to such a name within another value. Settings, env files and the environment are learned from; `hide` takes out what
was learned. Short values and common words stay: without them nothing could be read, and they tell nothing.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ops.core.userinfo import secrets_of, without_userinfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MASK = "********"
_NAME = re.compile(
    r"(?<!by)(?<!com)pass(?!enger|iv|thr|ed\b|ing|port)|pwd|secret|token|(?<!mon)(?<!tur)(?<!hoc)key(?!board|space|stone|word)"
    r"|cred|dsn|jaas|auth(?!or(?!i[sz]))|private|webhook|cookie|salt|signature|conn(ection)?_?str"
    r"|(^|[_.-])(pat|pin|otp|sas|sig)($|[_.-])|pw($|[_.-])|bearer|(^|[_.-])(jwt|hmac|totp|mnemonic|pepper)$",
    re.IGNORECASE,
)
_WORKING_FOLDER = frozenset({"PWD", "OLDPWD"})
# The rest is made when it is first needed: an agent's start is waited for
_ABOUT = r"(file|filename|path|dir|folder|location|sock|url|uri|endpoint)\Z"  # of a name: where it is, not it
_SCHEME = r"(?i:basic|bearer|token|digest|apikey)\s{1,9}"  # of HTTP's Authorization, before what it is about
_ASSIGNED = (
    rf"(?P<name>[A-Za-z_][A-Za-z0-9_.-]{{0,80}})[\"']?\s{{0,9}}[=:]\s{{0,9}}(?:{_SCHEME})?"
    r"(?:\"(?P<a>(?:[^\"\\]|\\.)+)\"|'(?P<b>[^']+)'|\{(?P<d>[^{}\"']+)\}|(?P<c>[^\s&;,\"']+))"
)
_BEHIND = rf"(?:{_SCHEME}|[^\s:/@]+:)(\S+)"  # user:password, as one value
_HOLDER = r"(?i)(?:^|[_.-])(?:secret|password|passphrase|token|api_?key)s?\Z"  # of a mapping: all in it are secrets
_LONG = 4096  # characters of a value that are looked through for more
_OPTION = r"(?:^|\s)--?(?P<name>[A-Za-z][A-Za-z0-9_-]{0,80})\s{1,9}(?P<c>[^\s-]\S*)"
_PLAIN_KEY = r"(?i)^(?!.*(api|access|secret|private|auth|sign|encr|master|account|shared|license|pass)).*key"
_NAMED = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
_URL_SAFE = str.maketrans("+/", "-_")
_LEAST = 4  # characters; what is shorter cannot be told from other text
_ALONE = 8  # what is shorter than this is taken out only where it stands alone
_DIGITS = 6
_WORDS = """
true false null none yes no on off enabled disabled default password passwort passwd secret token user username admin
administrator root guest test tests testing example changeme local localhost dev develop development stage staging prod
production main master postgres postgresql mysql mariadb redis kafka rabbitmq karafka service oauth oauth2 x-oauth-basic
x-access-token x-token-auth gitlab-ci-token git plain scram-sha-256 scram-sha-512 running starting standby stopping
stopped dead crash-looping unknown ready ended failed killed done whole bad updating removing current release revision
branch host hosts process processes state lease fence start stop restart status deploy rollback check list resolve
update build verify publish revert mark finish cleanup hook notify alive auto systemd supervisor pidfile worker server
basic bearer digest
message error file value string bytes http https consumer group groups topic topics partition offset member
"""
COMMON = frozenset(_WORDS.split())
"""Words that stand in any output: who uses one for a secret has none."""


class Secrets:
    """Values that are never to be shown."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._names: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._values)

    def learn(self, data: Any, name: str = "") -> None:
        """Learn the secrets in data: mappings, lists, texts and numbers, to any depth.

        Parameters
        ----------
        name : what the data stands under.
        """
        found = {part for value in _found(data, name, frozenset()) for part in _parts(value)}
        with self._lock:
            if not found <= self._values:
                self._values |= found
                self._pattern = None

    def spare(self, names: Iterable[str]) -> None:
        """Let names stay that all output is made of (applications, hosts), should a secret be one of them."""
        new = {name.lower() for name in names}
        with self._lock:
            if not new <= self._names:
                self._names |= new
                self._pattern = None

    def hide(self, text: str) -> str:
        """Give a text without them, and without the secrets of any URL in it."""
        if "://" in text and "@" in text:
            text = without_userinfo(text, MASK)
        if not self._values:
            return text
        with self._lock:
            pattern = self._pattern = self._pattern or self._compiled()
        return pattern.sub(MASK, text)

    def hidden(self, data: Any) -> Any:
        """Give JSON data without them in its texts; numbers and keys stay."""
        if isinstance(data, dict):
            return {key: self.hidden(value) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            return [self.hidden(value) for value in data]
        return self.hide(data) if isinstance(data, str) else data

    def _compiled(self) -> re.Pattern[str]:
        telling = [value for value in self._values if self._is_telling(value)]
        forms = {form: re.escape(form) for value in telling for form in _forms(value)}
        forms |= {form: _written(form) for value in telling for form in _decoded(value)}
        found = sorted((form for form in forms if len(form) >= _LEAST), key=len, reverse=True)
        return re.compile("|".join(_bounded(form, forms[form]) for form in found) or r"(?!)")

    def _is_telling(self, value: str) -> bool:
        value = value.strip()
        if len(value) < _LEAST or value.lower() in COMMON or value.lower() in self._names:
            return False
        return len(value) >= _DIGITS if value.isdecimal() else len(set(value)) > 1


SECRETS = Secrets()
"""What this process knows of."""


def sounds_secret(name: str) -> bool:
    """Whether a name is one of a secret's: DB_PASS, API_KEY, SENTRY_DSN."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return bool(_NAME.search(words)) and words.upper() not in _WORKING_FOLDER


def is_secret(name: str, value: Any) -> bool:
    """Whether what stands under a name is a secret, and not a switch or a place (`SSL_KEY_FILE: /etc/...`)."""
    if value is None or isinstance(value, bool):
        return False
    if name.upper() in _WORKING_FOLDER:  # or ODBC's `Pwd=`
        return isinstance(value, str) and not value.startswith("/")
    if not sounds_secret(name):
        return False
    return not (isinstance(value, str) and re.search(_ABOUT, name, re.IGNORECASE) and _is_place(name, value))


def _is_place(name: str, value: str) -> bool:
    if value.startswith(("/", "./", "~/")):
        return True
    return "://" in value and "@" not in value and "?" not in value and "hook" not in name.lower()


def _parts(value: str) -> Iterator[str]:
    """Yield a value, and its lines: it may be shown line by line. Those at both ends of a key in PEM tell nothing."""
    yield value
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _ALONE and "-----" not in line)


def _found(data: Any, name: str, above: frozenset[int]) -> Iterator[str]:
    if isinstance(data, (Mapping, list, tuple)):
        if id(data) in above:  # YAML's anchors may make a mapping that contains itself
            return
        inside = above | {id(data)}
        above_all = f"{name}." if isinstance(data, Mapping) and re.search(_HOLDER, name) else ""
        for key, value in data.items() if isinstance(data, Mapping) else ((name, value) for value in data):
            yield from _found(value, f"{above_all}{key}", inside)
        if not isinstance(data, Mapping):
            yield from _behind_options(data)
    elif is_secret(name, data):
        yield str(data)
        if behind := re.fullmatch(_BEHIND, str(data).strip()):
            yield behind[1]
    if isinstance(data, str):
        yield from _inside(data)


def _behind_options(words: Sequence[Any]) -> Iterator[str]:
    """Yield secrets of an argv that stand behind an option of their name: `--password`, and the next word."""
    for option, value in zip(words, words[1:]):
        if not (isinstance(option, str) and isinstance(value, str)) or value.startswith("-"):
            continue
        name = option.lstrip("-")
        if name != option and is_secret(name, value) and not re.match(_PLAIN_KEY, name):
            yield value


def _inside(text: str) -> Iterator[str]:
    """Yield secrets within a text: of URLs, and what is assigned to a name that sounds like one."""
    if "://" in text:
        yield from secrets_of(text)
    elif "@" in text and (bare := re.match(r"[^\s:/@]+:(\S+)@\S+\Z", text)):  # user:password@tcp(host)/database
        yield bare[1]
    if "=" in text or ":" in text:
        yield from _assigned(text)
    for match in re.finditer(_OPTION, text) if "-" in text else ():
        if _is_assigned(match["name"], match["c"]):
            yield match["c"]


def _assigned(text: str) -> Iterator[str]:
    """Yield what is assigned to secrets' names, also within what is assigned to another one: `https://host/?token=`."""
    pattern, at = re.compile(_ASSIGNED, re.DOTALL), 0
    while match := pattern.search(text, at):
        value = next(match[one] for one in "abdc" if match[one])
        at = match.end()
        if _is_assigned(match["name"], value):
            yield value
            if match["a"] and "\\" in value:
                yield re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        elif len(value) <= _LONG:
            at = match.end("name") + 1


def _is_assigned(name: str, value: str) -> bool:
    return is_secret(name, value) and not value.startswith(("$", "//")) and not re.match(_PLAIN_KEY, name)


def _forms(value: str) -> set[str]:
    """Return a value in base64, by itself and with anything before and behind it, as in `Authorization: Basic`."""
    import base64  # seldom needed: it costs an agent's start

    raw, found = value.encode(errors="replace"), set()
    for before in range(3) if len(raw) >= _ALONE else ():
        text = base64.b64encode(bytes(before) + raw).decode()
        own = text[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]  # the characters that are of nothing else
        found |= {own, own.translate(_URL_SAFE)}
    return found


def _decoded(value: str) -> set[str]:
    from urllib.parse import unquote

    return {value, value.strip(), unquote(value)}


def _written(value: str) -> str:
    """Return the pattern of a value however it is quoted, escaped or encoded, once or more.

    As in URLs, JSON, Python, shells, units and HTML.
    """
    parts = []
    for run in re.finditer(r"[A-Za-z0-9]+|(.)\1*", value, re.DOTALL):
        one, count = run[1], len(run[0])
        parts.append(run[0] if one is None else f"(?:{'|'.join(_ways(one, count))})")
    return "".join(parts)


def _ways(one: str, count: int) -> Iterator[str]:
    """Yield patterns of a character that is no letter or digit, written so many times.

    No text is matched by one of them in many ways: there would be texts that take for ever.
    """

    def times(pattern: str) -> str:
        return f"(?:{pattern}){{{count}}}" if count > 1 else pattern

    if one == "\\":
        yield rf"\\{{{count},{4 * count}}}"
    else:
        yield times(rf"\\{{0,3}}{re.escape(one)}")
    if one in "%$":
        yield times(re.escape(one) * 2)
    if one == "'":
        yield times("'(?:\\\\'|\"'\")'")
    octets = one.encode(errors="replace")
    yield times("".join(f"%(?:25){{0,3}}(?i:{octet:02x})" for octet in octets))
    if one == " ":
        yield times("[+]")
    if one in _NAMED:
        yield times(rf"\\{{1,4}}{_NAMED[one]}")
    if one in _ENTITIES:
        yield times(f"&(?:amp;){{0,3}}(?:#0{{0,4}}{ord(one)}|#[xX]0{{0,4}}(?i:{ord(one):x})|{_ENTITIES[one]});")
    if not one.isascii() or not one.isprintable():
        units = one.encode("utf-16-be", errors="replace").hex()
        yield times("".join(rf"\\{{1,4}}u(?i:{units[at : at + 4]})" for at in range(0, len(units), 4)))
        yield times("".join(rf"\\{{1,4}}x(?i:{octet:02x})" for octet in octets))
        yield times(rf"\\{{1,4}}(?i:x{ord(one):02x}|U{ord(one):08x})")
        yield times("\N{REPLACEMENT CHARACTER}")  # of another encoding


def _bounded(form: str, pattern: str) -> str:
    if len(form) >= _ALONE and not form.isdigit():
        return pattern
    return rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])"
