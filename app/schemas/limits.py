"""Default and maximum number of classes in a prediction."""

DEFAULT_TOP_K, MAX_TOP_K = 3, 1000
