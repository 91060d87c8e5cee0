"""Whole jobs through the service, phase by phase, compared to scikit-learn; see README.md."""
