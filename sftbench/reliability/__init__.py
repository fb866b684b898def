"""What is measured of a trained cell besides its task's metrics: one file each, `measure` calls.

Nothing here trains. The model is left with the tensors and modes that it had.
"""
