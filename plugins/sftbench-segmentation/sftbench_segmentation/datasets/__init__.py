"""Data sets of images and masks."""
