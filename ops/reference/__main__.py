"""`python -m ops.reference`: run an app, tick, produce traffic, count what came of it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from threading import Event

from ops.core.brokers import Brokers
from ops.core.description import asked
from ops.core.errors import ExitCode, OpsError
from ops.core.leaving import leave
from ops.core.needs import EXTRAS, extras_named, require

DEFAULT_APP = "ops.reference.sources:app"
BACKGROUND_APP = "ops.reference.sources:background"


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; gives its exit code."""
    options = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        with extras_named():
            return int(run(options))
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ops.reference", description="The bundled apps and their traffic")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    server = commands.add_parser("server", help="run one consumer process in the foreground")
    server.add_argument("--app", default=os.environ.get("KARAFKA_APP") or DEFAULT_APP, metavar="MODULE:ATTRIBUTE")
    server.add_argument(
        "--groups", default=os.environ.get("KARAFKA_GROUPS", ""), help="comma-separated; all without it"
    )
    server.set_defaults(run=_server)

    worker = commands.add_parser("worker", help="run one process that performs an app's background jobs")
    worker.add_argument("--app", default=os.environ.get("KARAFKA_APP") or BACKGROUND_APP, metavar="MODULE:ATTRIBUTE")
    worker.add_argument("--concurrency", type=int, default=os.environ.get("KARAFKA_CONCURRENCY", "16"))
    worker.add_argument("--fifo", action="store_true", help="one job after the other, in the order of the queue")
    worker.set_defaults(run=_worker)

    ticker = commands.add_parser("ticker", help="send sources_refresh for every resource, again and again")
    ticker.add_argument("--interval", type=_positive, default=5.0, metavar="SECONDS")
    ticker.add_argument("--duration", type=_positive, metavar="SECONDS", help="until TERM without it")
    ticker.set_defaults(run=_ticker)

    produce = commands.add_parser("produce", help="send numbered messages at a steady rate")
    produce.add_argument("topic")
    produce.add_argument("--rate", type=_positive, default=300.0, metavar="PER_SECOND")
    produce.add_argument("--duration", type=_positive, default=10.0, metavar="SECONDS")
    produce.add_argument("--json", action="store_true")
    produce.set_defaults(run=_produce)

    verify = commands.add_parser("verify", help="count lost and repeated messages; exit 0 if there are none")
    verify.add_argument("topic", help="where the messages were sent to")
    verify.add_argument("answers", nargs="+", help="the topics that the app answers to")
    verify.add_argument("--stream", action="append", default=[], help="count this run of a producer alone")
    verify.add_argument(
        "--timeout", type=_positive, default=30.0, metavar="SECONDS", help="to wait for the next answer"
    )
    verify.add_argument("--json", action="store_true")
    verify.set_defaults(run=_verify)
    return parser


def _server(options: argparse.Namespace) -> int:
    from ops.consumer.main import run_server

    _check_database(options.app)
    return run_server(options.app, [group for group in options.groups.split(",") if group])


def _worker(options: argparse.Namespace) -> int:
    from ops.jobs.main import run_worker

    _check_database(options.app)
    return run_worker(options.app, options.concurrency, fifo=options.fifo)


def _check_database(app: str) -> None:
    """Open it before anything else: a wrong one is an error at the start, not a dead letter a message."""
    if app in (DEFAULT_APP, BACKGROUND_APP) and not asked(os.environ):
        require(*EXTRAS["reference"])
        from ops.reference.resources import open_resources

        open_resources()


def _ticker(options: argparse.Namespace) -> int:
    from ops.reference.resources import open_resources
    from ops.reference.ticker import Ticker

    _log_to_stderr()
    stop = _stop_on_term()
    brokers = Brokers.from_environment(os.environ)
    Ticker(brokers, open_resources(), options.interval).run(stop, options.duration)
    return ExitCode.DONE


def _produce(options: argparse.Namespace) -> int:
    from ops.reference.traffic import Traffic

    stop = _stop_on_term()
    sent = Traffic(Brokers.from_environment(os.environ), options.topic).run(options.rate, options.duration, stop)
    if options.json:
        print(json.dumps(asdict(sent)))
    else:
        print(
            f"{sent.topic}: {sent.count} messages in {sent.seconds:.1f} s, {sent.failed} failed, stream {sent.stream}"
        )
    return ExitCode.FAILED if sent.failed else ExitCode.DONE


def _verify(options: argparse.Namespace) -> int:
    from ops.reference.tally import count

    brokers = Brokers.from_environment(os.environ)
    tally = count(brokers, options.topic, options.answers, streams=options.stream, timeout_seconds=options.timeout)
    print(json.dumps({**asdict(tally), "exact": tally.exact}) if options.json else str(tally))
    return ExitCode.DONE if tally.exact else ExitCode.FAILED


def _stop_on_term() -> Event:
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


if __name__ == "__main__":
    leave(main())
