"""Predictions, and the metrics made from them."""
