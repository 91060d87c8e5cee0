"""Limits of predictions."""

TOP_K, MAX_CLASSES = 3, 1000
