"""Measurements that a person runs: what they print goes into the notes."""
