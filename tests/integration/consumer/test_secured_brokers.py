"""Brokers that want TLS, a password or a certificate: everything that talks to Kafka, by the same few variables."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ops.core.asking import Answer, Ask, Question
from ops.core.deadline import Deadline
from ops.core.gate import Terms
from ops.core.identity import Identity
from ops.core.standing import Process
from ops.sandbox.census import end_all, guard
from ops.sandbox.kafka import EmbeddedKafka
from ops.sandbox.ports import free_port

PROJECT = Path(__file__).parents[3]
USER, PASSWORD = "relay", "correct horse"
LOOPBACK = "127.0.0.1"
PLAIN_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"
QUICK_SECONDS = 20.0  # in which whoever is refused has to have said so; nothing here waits for a minute

pytestmark = pytest.mark.xdist_group("secured brokers")


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, and the files that hold them."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    certfile: Path
    keyfile: Path


def issue(folder: Path, name: str, by: Issued | None = None) -> Issued:
    """Make a certificate that is good for this minute and 127.0.0.1; of an authority of its own without `by`."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
    )
    certificate = builder.sign(key if by is None else by.key, hashes.SHA256())
    issued = Issued(certificate, key, folder / f"{name}.crt", folder / f"{name}.key")
    issued.certfile.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    issued.keyfile.write_bytes(text)
    return issued


@dataclass
class Secured:
    """One broker: open to the test, by password over TLS and without, and by a client's certificate.

    Attributes
    ----------
    ways : the environment of a client by each listener and mechanism.
    """

    broker: EmbeddedKafka
    folder: Path
    listeners: Mapping[str, str]
    ways: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def bootstrap(self) -> str:
        """Return where the test itself connects."""
        return self.broker.bootstrap

    def create_topics(self, partitions: Mapping[str, int], config: Mapping[str, str] | None = None) -> None:
        """Make topics."""
        self.broker.create_topics(partitions, config)

    def way(self, name: str, **instead: str) -> dict[str, str]:
        """Return the environment of a client, with other values instead of some."""
        return {**self.ways[name], **instead}

    def value(self, name: str, short: str) -> str:
        """Return the value of a variable: the address of a listener, the path of a file."""
        if name == "KARAFKA_BROKERS":
            return self.listeners[short]
        return str(self.folder / short) if short and name.startswith("KARAFKA_SSL") else short


def start(folder: Path, owner: Identity) -> Secured:
    """Start the broker and make its user known."""
    from kafka import KafkaAdminClient
    from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

    authority = issue(folder, "authority")
    stranger = issue(folder, "stranger")
    server, client = issue(folder, "server", authority), issue(folder, "client", authority)
    issue(folder, "outsider", stranger)
    sealed = serialization.BestAvailableEncryption(b"a passphrase")
    (folder / "sealed.key").write_bytes(
        client.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)
    )
    store = folder / "server.pem"
    store.write_bytes(server.keyfile.read_bytes() + server.certfile.read_bytes())
    ports = {name: free_port() for name in ("PLAINTEXT", "SASL_SSL", "SASL_PLAINTEXT", "SSL", "CONTROLLER")}
    listeners = {name: f"{LOOPBACK}:{port}" for name, port in ports.items()}
    text = ",".join(f"{name}://{address}" for name, address in listeners.items())
    properties = {
        "listeners": text,
        "advertised.listeners": text.rpartition(",")[0],
        "controller.quorum.voters": f"1@{listeners['CONTROLLER']}",
        "listener.security.protocol.map": ",".join(f"{name}:{name}" for name in list(ports)[:-1])
        + ",CONTROLLER:PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certfile),
        "listener.name.ssl.ssl.client.auth": "required",
    }
    for name in ("sasl_ssl", "sasl_plaintext"):
        own = f"listener.name.{name}"
        properties |= {
            f"{own}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            f"{own}.plain.sasl.jaas.config": f'{PLAIN_LOGIN} required user_{USER}="{PASSWORD}";',
            f"{own}.scram-sha-256.sasl.jaas.config": f"{SCRAM_LOGIN} required;",
            f"{own}.scram-sha-512.sasl.jaas.config": f"{SCRAM_LOGIN} required;",
        }
    broker = EmbeddedKafka(folder / "kafka", properties=properties)
    broker.port = ports["PLAINTEXT"]
    broker.start()
    guard(broker.directory, owner)
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        made = admin.alter_user_scram_credentials([UserScramCredentialUpsertion(USER, mechanism, PASSWORD)])
        assert not any(made.values()), made
    admin.close()
    trust = {"KARAFKA_SSL_CAFILE": str(authority.certfile)}
    own = {"KARAFKA_SSL_CERTFILE": str(client.certfile), "KARAFKA_SSL_KEYFILE": str(client.keyfile)}
    secured = Secured(broker, folder, listeners)
    secured.ways["SSL"] = {"KARAFKA_BROKERS": listeners["SSL"], "KARAFKA_SECURITY_PROTOCOL": "SSL", **trust, **own}
    for protocol in ("SASL_SSL", "SASL_PLAINTEXT"):
        for how in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            secured.ways[f"{protocol} {how}"] = {
                "KARAFKA_BROKERS": listeners[protocol],
                "KARAFKA_SECURITY_PROTOCOL": protocol,
                "KARAFKA_SASL_MECHANISM": how,
                "KARAFKA_SASL_USERNAME": USER,
                "KARAFKA_SASL_PASSWORD": PASSWORD,
                **(trust if protocol == "SASL_SSL" else {}),
            }
    return secured


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[Secured]:
    """The broker of this module."""
    folder = tmp_path_factory.mktemp("secured")
    yield start(folder, run_owner)
    end_all(folder / "kafka", timeout_seconds=0)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a user's one-line tasks.py and no settings."""
    shutil.copy(PROJECT / "tasks.py", tmp_path)
    return tmp_path


def clean(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a command that knows the brokers from `env` alone."""
    return {**{key: value for key, value in os.environ.items() if not key.startswith("KARAFKA_")}, **env}


def inv(project: Path, env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "inv", *arguments], cwd=project, env=clean(env), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def ask(question: Question, env: Mapping[str, str]) -> Answer:
    """Ask as a host is asked: by the module, over a pipe."""
    done = subprocess.run(
        [sys.executable, "-m", "ops.kafka"], input=question.encode(), env=clean(env), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    found = Answer.decode(done.stdout.splitlines()[-1])
    assert done.returncode == found.exit_code
    return found


EVERY_WAY = ["SSL", *(f"SASL_{kind} {how}" for kind in ("SSL", "PLAINTEXT") for how in ("PLAIN", "SCRAM-SHA-256",
             "SCRAM-SHA-512"))]  # fmt: skip


@pytest.mark.parametrize("way", EVERY_WAY)
def test_the_cluster_answers_whoever_proves_itself_in_whatever_way(secured: Secured, way: str) -> None:
    from ops.core.brokers import Brokers
    from ops.kafka.connection import Cluster
    from ops.kafka.topics import partition_counts

    # Given a topic, and a client that says who it is as a listener wants it
    secured.create_topics({"known": 3})
    # Then it is answered
    with Cluster(Brokers.from_environment(secured.ways[way]), QUICK_SECONDS) as cluster:
        assert partition_counts(cluster, ("known", "unknown")) == {"known": 3, "unknown": None}


@pytest.mark.parametrize("way", [pytest.param("SSL", marks=pytest.mark.soak), "SASL_SSL SCRAM-SHA-512"])
def test_a_consumer_works_and_is_asked_about_over_an_encrypted_connection(
    secured: Secured, bench_of: Callable[..., Any], project: Path, way: str
) -> None:
    # Given a consumer that has to prove itself
    bench = bench_of(secured, f"relay-{way.split()[0].lower().replace('_', '-')}", partitions=2)
    env = secured.ways[way]
    process = bench.start(**env, KARAFKA_INSTANCE_ID="relay.0")
    bench.ready()
    # When messages come in, one of which cannot be worked on
    bench.numbers(10)
    # Then it works on them, and commits
    assert bench.sequences(10) == list(range(10))
    assert Deadline(QUICK_SECONDS).poll(lambda: bench.committed() == 10, every=0.2)
    # And a host's questions are answered, by secrets that stand in its env file alone
    secrets = project / "karafka.env"
    secrets.write_text("".join(f"{name}={value}\n" for name, value in env.items() if name != "KARAFKA_BROKERS"))
    secrets.chmod(0o600)
    here = {"env_file": str(secrets), "brokers": env["KARAFKA_BROKERS"]}
    (group,) = ask(Question(Ask.LAG, (bench.name,), **here), {}).groups
    assert (group.name, [member.instance_id for member in group.members], group.lag) == (bench.name, ["relay.0"], 0)
    # And `inv lag` shows it
    shown = json.loads(inv(project, env, "lag", "--group", bench.name, "--json").stdout)
    assert [(one["group"], one["state"], one["lag"]) for one in shown["groups"]] == [(bench.name, "Stable", 0)]
    # And it drains as ever
    process.send_signal(signal.SIGTERM)
    assert process.wait(QUICK_SECONDS) == 0


SCRAM = "SASL_SSL SCRAM-SHA-512"
WRONG = {
    "a wrong password": (SCRAM, {"KARAFKA_SASL_PASSWORD": "not-at-all"}, 4, "refuses user 'relay'"),
    "a wrong password sent": ("SASL_SSL PLAIN", {"KARAFKA_SASL_PASSWORD": "not-at-all"}, 4, "refuses user 'relay'"),
    "nobody's name": (SCRAM, {"KARAFKA_SASL_USERNAME": "no,bo=dy"}, 4, "refuses user 'no,bo=dy'"),
    "another authority": (SCRAM, {"KARAFKA_SSL_CAFILE": "stranger.crt"}, 4, "the broker's certificate is refused"),
    "the system's authorities": (SCRAM, {"KARAFKA_SSL_CAFILE": ""}, 4, "the broker's certificate is refused"),
    "no such file": (SCRAM, {"KARAFKA_SSL_CAFILE": "missing.crt"}, 2, "missing.crt: No such file"),
    "no certificate": (SCRAM, {"KARAFKA_SSL_CAFILE": "server.key"}, 2, "expected certificates in PEM"),
    "an outsider's certificate": (
        "SSL", {"KARAFKA_SSL_CERTFILE": "outsider.crt", "KARAFKA_SSL_KEYFILE": "outsider.key"}, 4,
        "refuses this client's certificate",
    ),
    "no certificate of its own": ("SSL", {"KARAFKA_SSL_CERTFILE": "", "KARAFKA_SSL_KEYFILE": ""}, 4,
                                  "refuses this client's certificate"),
    "somebody's key": ("SSL", {"KARAFKA_SSL_KEYFILE": "outsider.key"}, 2, "a certificate and its key in PEM"),
    "a key that is not there": ("SSL", {"KARAFKA_SSL_KEYFILE": "missing.key"}, 2, "KARAFKA_SSL_KEYFILE: "),
    "a key that asks": ("SSL", {"KARAFKA_SSL_KEYFILE": "sealed.key"}, 2, "without a passphrase"),
    "a key alone": ("SSL", {"KARAFKA_SSL_CERTFILE": ""}, 2, "of no use without KARAFKA_SSL_CERTFILE"),
    "a password that nobody wants": ("SASL_PLAINTEXT PLAIN", {"KARAFKA_BROKERS": "PLAINTEXT"}, 4,
                                     "no password is asked for here"),
    "no TLS where there has to be": ("SASL_PLAINTEXT PLAIN", {"KARAFKA_BROKERS": "SASL_SSL"}, 4,
                                     "something else than Kafka answered"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_who_is_not_let_in_is_told_why_at_once_and_no_password_is_shown(secured: Secured, case: str) -> None:
    from ops.core.brokers import Brokers
    from ops.core.errors import OpsError
    from ops.kafka.connection import Cluster
    from ops.kafka.topics import partition_counts

    # Given settings that do not fit the listener
    way, instead, code, said = WRONG[case]
    env = secured.way(way, **{name: secured.value(name, value) for name, value in instead.items()})
    # When the cluster is asked
    began = time.monotonic()
    with pytest.raises(OpsError) as caught, Cluster(Brokers.from_environment(env), 60) as cluster:
        partition_counts(cluster, ("known",))
    # Then the reason is there, and it was not waited for
    assert (said in str(caught.value), int(caught.value.exit_code)) == (True, code), caught.value
    assert time.monotonic() - began < QUICK_SECONDS
    assert PASSWORD not in str(caught.value)
    assert "not-at-all" not in str(caught.value)


def test_whatever_asks_with_a_wrong_password_ends_with_the_reason(
    secured: Secured, bench_of: Callable[..., Any]
) -> None:
    # Given a password that is wrong
    env = secured.way(SCRAM, KARAFKA_SASL_PASSWORD="not-at-all")
    said = "the broker refuses user 'relay'"
    # Then a consumer ends, and says so in its last line
    bench = bench_of(secured, "refused", partitions=1)
    process = bench.start(**env)
    assert process.wait(QUICK_SECONDS) == 4, bench.log()
    assert said in bench.log().splitlines()[-2]
    assert "not-at-all" not in bench.log()
    # And a gate does not wait for what cannot change
    terms = Terms(processes=(Process("here karafka-0", None, ("refused",)),))
    found = ask(Question(Ask.GATE, env={}, terms=terms, deadline_seconds=60), env)
    assert (found.exit_code, said in found.error, found.judgement) == (4, True, None), found


@pytest.mark.parametrize(
    "arguments",
    [
        ("produce", "refused-in"),
        pytest.param(("jobs.show", "--app", "jobs_app:app"), marks=pytest.mark.soak),
        pytest.param(("dead", "--app", "jobs_app:app"), marks=pytest.mark.soak),
        ("worker", "--app", "jobs_app:app"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_command_that_asks_with_a_wrong_password_says_it(
    secured: Secured, project: Path, arguments: tuple[str, ...]
) -> None:
    # Given a password that is wrong, and an app
    env = secured.way(SCRAM, KARAFKA_SASL_PASSWORD="not-at-all")
    (project / "jobs_app.py").write_text(JOBS)
    # When a command asks the cluster
    done = inv(project, env, *arguments)
    # Then it ends with the reason
    assert (done.returncode, "the broker refuses user 'relay'" in done.stderr) == (4, True), done
    assert "Traceback" not in done.stderr
    assert "not-at-all" not in done.stdout + done.stderr


JOBS = """
from ops.consumer import App, Controller
from ops.jobs import JobsBackend

class OneController(Controller):
    def perform(self):
        pass

app = App("refused", backend=JobsBackend())
app.topic("refused-in", controller=OneController)
"""
