"""Limits of what a prediction returns."""

TOP_K, MOST_CLASSES = 3, 1000
