"""How long a count of dead letters may take, by a cluster that is away."""

from __future__ import annotations

import socket
import time

from ops.core.brokers import Brokers
from ops.kafka.connection import Cluster
from ops.kafka.letters import count_letters

SECONDS = 0.5


def test_a_cluster_that_is_away_is_waited_for_once_and_not_once_a_topic() -> None:
    # Given an address where nobody listens, and many topics
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        topics = [f"orders-{number}.dead" for number in range(20)]

        # When their letters are counted
        begun = time.monotonic()
        with Cluster(Brokers.at(f"127.0.0.1:{taken.getsockname()[1]}"), SECONDS) as cluster:
            found = count_letters(cluster, topics)

    # Then none is told, and it took about as long as one question may
    assert found == dict.fromkeys(topics)
    assert time.monotonic() - begun < 10 * SECONDS
