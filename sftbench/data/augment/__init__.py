"""Augmentation of whole batches, on whatever device they lie.

Random numbers come from a CPU generator, so that a CPU and an accelerator see the same draws.
"""
