"""Fits the constants of `worker.estimates.accuracy_estimate` to networks whose target accuracy is known.

Rows are of one network each: `task`, `target_accuracy` (0 to 1), `skewed` and every name of `worker.estimates.estimators.PARTS`
(`method`, `seed` and others may stand beside them). Every task weighs the same.
"""
