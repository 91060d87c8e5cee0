"""Simulated labelling over the records of `benchmarks.shifts`: how honest the intervals are, and how often labels decide."""
