"""Strategies: each file holds only what sets it apart."""
