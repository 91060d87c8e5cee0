"""Whole jobs: what they cost beside their training."""
