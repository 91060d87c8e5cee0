"""Benchmarks of predictions; see README.md."""
