"""Real parts on one machine: embedded Kafka, a local SSH fleet, the remote systems of `sources`, the demo."""
