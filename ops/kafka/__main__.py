"""`python -m ops.kafka [--stay]`: one question (JSON) on standard input, one answer (JSON) on standard output.

    echo '{"protocol": 5, "ask": "topics", "names": ["sources_refresh"]}' | python -m ops.kafka

Runs on a host of the fleet, which reaches the brokers and knows the secrets. While a gate waits, its judgements come
as lines before the answer. With `--stay` another question may follow each answer: see `ops.core.serving`.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from pathlib import Path

from ops.core import envfile
from ops.core.asking import Answer, Ask, Question, encode_judgement
from ops.core.brokers import REFUSED_SECONDS, Brokers
from ops.core.courtesy import yield_cpu
from ops.core.errors import ExitCode, OpsError
from ops.core.leaving import leave
from ops.core.masking import SECRETS
from ops.core.privileges import work_as_owner
from ops.core.serving import serve, write
from ops.core.verdict import Judgement, Verdict


def answer(question: Question) -> Answer:
    """Ask the cluster.

    Raises
    ------
    OpsError : settings, brokers or the cluster stand in the way.
    """
    from ops.kafka.connection import Cluster
    from ops.kafka.groups import observe
    from ops.kafka.letters import count_letters
    from ops.kafka.members import remove_members
    from ops.kafka.topics import partition_counts

    secrets = envfile.read(Path(question.env_file)) if question.env_file else {}
    brokers = Brokers.from_environment({**os.environ, **question.env, **secrets}, question.brokers)
    if question.ask in (Ask.GATE, Ask.PREFLIGHT):
        return _judge(question, brokers)
    looks = question.ask in (Ask.GROUPS, Ask.TOPICS, Ask.LAG)
    with Cluster(brokers, question.timeout_seconds, refused_seconds=REFUSED_SECONDS if looks else math.inf) as cluster:
        if question.ask is Ask.TOPICS:
            return Answer(topics=partition_counts(cluster, question.names))
        if question.ask is Ask.REMOVE_MEMBERS:
            return Answer(removed=remove_members(cluster, question.names[0], question.instances))
        return Answer(groups=observe(cluster, question.names), letters=count_letters(cluster, question.letters))


def _judge(question: Question, brokers: Brokers) -> Answer:
    from ops.kafka.gate import watch_gate, watch_preflight

    assert question.terms is not None  # a question without is none; see its check
    watch = watch_gate if question.ask is Ask.GATE else watch_preflight
    judgement, groups = watch(brokers, question.terms, question.deadline_seconds, question.timeout_seconds, _tell)
    code = ExitCode.DONE if judgement.verdict is Verdict.PASSED else ExitCode.GATE_REFUSED
    return Answer(groups=groups, judgement=judgement, exit_code=int(code))


def _tell(judgement: Judgement) -> None:
    _send(encode_judgement(judgement))


def _send(line: str) -> None:
    write(f"\n{line}\n".encode())  # on a line of its own, whatever start-up files wrote


def _respond(line: str, _: bytes) -> int:
    try:
        question = Question.decode(line)
        if question.deploy_to:
            work_as_owner(question.deploy_to)
        result = answer(question)
    except OpsError as error:
        return _refuse(error)
    _send(result.encode())
    return result.exit_code


def _refuse(error: OpsError) -> int:
    _send(Answer(error=SECRETS.hide(str(error)), exit_code=int(error.exit_code)).encode())
    return int(error.exit_code)


def main() -> int:
    """Read, ask, print, again where it is to stay; gives the exit code of the last answer.

    A gate whose operator has gone ends: it changes nothing.
    """
    yield_cpu()
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # what matters is in the answer
    try:
        return serve(_respond, _refuse)
    except BrokenPipeError:
        return int(ExitCode.FAILED)


if __name__ == "__main__":
    leave(main())
