"""Variants: seeded transforms of the training split."""
