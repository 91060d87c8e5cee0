"""Fit of the constants of `worker.estimates.accuracy_estimate` to networks whose target accuracy is known.

Each row is one network: `task`, `target_accuracy` (0 to 1), `skewed` and every name of `worker.estimates.estimators.ESTIMATORS`.
Other columns such as `method` and `seed` are ignored. Every task has the same weight.
"""
