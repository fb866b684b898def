"""Splits and batches: from decoded examples to inputs on the device."""
