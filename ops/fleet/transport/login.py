"""Logging in as ssh does: keys of the agent and of files, certificates, questions of the server, a password."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from paramiko import PKey, Transport
from paramiko.agent import AgentKey
from paramiko.ssh_exception import (
    AuthenticationException,
    BadAuthenticationType,
    SSHException,
)

from ops.core.records import dataclass
from ops.fleet.transport.agents import PatientAgent, agent_path, matching
from ops.fleet.transport.auth_request import AuthRequest, timed_out_asking
from ops.fleet.transport.client_config import ClientConfig
from ops.fleet.transport.keys import KeyFile, KeyStore, LockedKeyError, certified
from ops.fleet.transport.prompts import HUMAN_SECONDS, NoAnswerError, Patience, Prompts

_LATE_SECONDS = 20.0
_QUESTIONS = "keyboard-interactive"
_OPTIONS = {
    "publickey": "pubkeyauthentication",
    "password": "passwordauthentication",
    _QUESTIONS: "kbdinteractiveauthentication",
}


class LoginError(AuthenticationException):
    """A host that lets nobody in.

    Attributes
    ----------
    refused : how many keys it did not take.
    reasons : what kept other ways from being tried, in words.
    """

    def __init__(self, refused: int, reasons: tuple[str, ...]) -> None:
        super().__init__("; ".join(reasons) or "refused")
        self.refused = refused
        self.reasons = reasons


class LateError(SSHException):
    """Other hosts' questions took so long that the server has given up: connect again, within a turn."""


@dataclass(frozen=True)
class Credentials:
    """What the command line and fabric.yaml say of logging in, the same for all hosts.

    Attributes
    ----------
    files : the keys that are named there.
    key : one that is at hand already.
    """

    store: KeyStore
    prompts: Prompts
    files: tuple[str, ...] = ()
    key: PKey | None = None
    password: str | None = None
    allow_agent: bool = True
    look_for_keys: bool = True


class Login:
    """One log-in; what paramiko calls an authentication strategy."""

    def __init__(self, name: str, config: ClientConfig, own: Credentials, patience: Patience, seconds: float) -> None:
        self._name = name
        self._config = config
        self._own = own
        self._patience = patience
        self._seconds = seconds
        self._agent: PatientAgent | None = None
        self._refused = 0
        self._reasons: list[str] = []

    def authenticate(self, transport: Transport) -> None:
        """Log in.

        Raises
        ------
        LoginError : it lets nobody in.
        LateError : connect again.
        AuthenticationException : it does not answer.
        SSHException, EOFError : the connection broke.
        """
        try:
            if not self._by_keys(transport):
                raise LoginError(self._refused, tuple(dict.fromkeys(self._reasons)))
        finally:
            if self._agent is not None:
                self._agent.close()

    def _by_keys(self, transport: Transport) -> bool:
        """Try keys, and where the server wants something else, or more, that; gives whether it let us in."""
        allowed: list[str] | None = None
        if self._may("publickey"):
            for key in self._keys():
                left = self._by_key(transport, key)
                allowed = allowed if left is None else left
                if allowed == []:
                    return True
                if allowed is not None and "publickey" not in allowed:
                    break
        if allowed is None:
            try:
                allowed = self._request(transport).none(self._config.user)
            except BadAuthenticationType as error:
                allowed = list(error.allowed_types)
        return allowed == [] or self._by_words(transport, allowed)

    def _by_key(self, transport: Transport, key: PKey) -> list[str] | None:
        """Try a key; gives what else the server wants, nothing where it lets us in, None where it does not take it."""
        try:
            left = self._request(transport).publickey(self._config.user, key)
        except BadAuthenticationType as error:
            return list(error.allowed_types)
        except (SSHException, EOFError) as error:
            if timed_out_asking(error):
                raise
            if not transport.is_active() and self._refused:
                self._reasons.append(f"it ended the log-in after {self._refused + 1} of them, see its MaxAuthTries")
                raise LoginError(self._refused, tuple(dict.fromkeys(self._reasons))) from error
            if not transport.is_active():
                raise
            if isinstance(error, AuthenticationException):
                self._refused += 1
            else:  # an agent that does not sign after all
                self._reasons.append(str(error))
            return None
        if left:
            self._reasons.append(f"it took a key, and wants more: {', '.join(left)}")
        return left

    def _by_words(self, transport: Transport, allowed: list[str]) -> bool:
        """Give a password and answers, as long as the server wants more."""
        for _ in range(4):  # a second factor follows the first one
            if self._own.password is not None and "password" in allowed and self._may("password"):
                step = self._by_password
            elif _QUESTIONS in allowed and self._may(_QUESTIONS):
                step = self._by_answers
            else:
                return False
            try:
                allowed = step(transport)
            except AuthenticationException as error:
                if not transport.is_active() or timed_out_asking(error):
                    raise
                self._reasons.append(str(error) or "it refuses the answers")
                return False
            if not allowed:
                return True
        return False

    def _may(self, method: str) -> bool:
        """Whether ssh_config lets a way of logging in be tried."""
        preferred = self._config.text("preferredauthentications")
        return self._config.is_on(_OPTIONS[method], default=True) and (not preferred or method in preferred.split(","))

    def _by_password(self, transport: Transport) -> list[str]:
        try:
            return self._request(transport).password(self._config.user, str(self._own.password))
        except AuthenticationException as error:
            if type(error) is AuthenticationException and transport.is_active() and not timed_out_asking(error):
                raise AuthenticationException("it refuses the password") from error
            raise

    def _by_answers(self, transport: Transport) -> list[str]:
        prompts = self._own.prompts
        answered: list[str] = []
        silent = self._config.is_on("batchmode") or not prompts.possible
        told: list[str] = []
        asking = threading.Event()

        def answer(title: str, instructions: str, questions: list[tuple[str, bool]]) -> list[str]:
            if self._own.password is not None and len(questions) == 1 and not questions[0][1] and not answered:
                answered.append("the password")
                return [self._own.password]
            if silent and questions:
                told.append(questions[0][0].strip())
                raise NoAnswerError(f"it asks {questions[0][0].strip()!r}")
            answers = []
            asking.set()
            for question, echo in questions:
                text = " ".join(one for one in (title.strip(), instructions.strip(), question) if one)
                answers.append(prompts.ask(f"({self._config.user}@{self._name}) {text}", echo=echo))
            asking.clear()
            answered.extend(answers)
            return answers

        with prompts.turn(self._patience) as waited:
            if waited > _LATE_SECONDS or not transport.is_active():
                raise LateError("the log-in took too long")
            try:  # a second factor may be a human with a telephone, so that the server is silent for long
                with self._patience.paused():
                    request = AuthRequest(transport, HUMAN_SECONDS, asking.is_set)
                    return request.interactive(self._config.user, answer)
            except (SSHException, NoAnswerError, EOFError) as error:
                if told:
                    self._reasons.append(f"it asks {told[0]!r}, and there is no terminal to ask at")
                    raise LoginError(self._refused, tuple(self._reasons)) from error
                raise

    def _request(self, transport: Transport) -> AuthRequest:
        return AuthRequest(transport, self._patience.within(self._seconds), lambda: self._patience.busy)

    def _keys(self) -> Iterator[PKey]:
        """Give keys in the order they are tried in: those that are named, the agent's, those that nobody named.

        A key that is in the agent is the agent's, whose passphrase is known; what a human would have to be asked for
        comes last.
        """
        own, config = self._own, self._config
        files = [KeyFile(one) for one in (*own.files, *config.identity_files)]
        if own.look_for_keys:
            files += [KeyFile(one, default=True) for one in config.default_files]
        held = self._agent_keys()
        certificates = config.files("certificatefile")
        locked: list[KeyFile] = []
        seen: list[bytes] = []

        def fresh(keys: tuple[PKey, ...]) -> Iterator[PKey]:
            for key in keys:
                blob = key.public_blob.key_blob if key.public_blob else getattr(key, "blob", None) or key.asbytes()
                if blob not in seen:
                    seen.append(blob)
                    yield key

        if own.key is not None:
            yield from fresh((own.key,))
        for file in sorted(files, key=lambda one: one.default):
            if file.default and held and not config.is_on("identitiesonly"):
                yield from fresh(held)
                held = ()
            known = matching(held, file.path)
            for one in known:
                yield from fresh((*certified(one, certificates), one))
            if known:
                continue
            try:
                key = own.store.load(file.path)
                yield from fresh((*certified(key, certificates), key))
            except LockedKeyError:
                locked.append(file)
            except (SSHException, OSError) as error:
                if not file.default:
                    self._reasons.append(_unreadable(file.path, error))
        if not config.is_on("identitiesonly"):
            yield from fresh(held)
        for file in locked:
            try:
                if config.is_on("batchmode") or not own.prompts.possible:
                    own.store.load(file.path)
                key = own.store.unlock(file.path, self._patience)
                yield from fresh((*certified(key, certificates), key))
            except SSHException as error:
                self._reasons.append(str(error))

    def _agent_keys(self) -> tuple[AgentKey, ...]:
        path = agent_path(self._config) if self._own.allow_agent else None
        if path is None:
            return ()
        try:
            self._agent = PatientAgent(path, self._patience.paused)
            return tuple(self._agent.get_keys())
        except (OSError, SSHException) as error:
            self._reasons.append(f"nobody answers as ssh-agent at {path}: {error}")
            return ()


def _unreadable(path: str, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"the key {path} cannot be read: {error.strerror}"
    return str(error)
