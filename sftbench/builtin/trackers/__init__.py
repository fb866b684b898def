"""Trackers: who is told about a run."""
