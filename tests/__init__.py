"""Tests, and the labs that they share."""
