"""Metrics of classification, as components."""
