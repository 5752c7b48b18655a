"""Deployment and ops tooling for fleets of Kafka consumers."""

__version__ = "0.1.0"
