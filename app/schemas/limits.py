"""Limits of predictions."""

TOP_K, MOST_CLASSES = 3, 1000
