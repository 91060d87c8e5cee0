"""Plain models: linear models and boosted trees that scikit-learn fits in seconds. No module here imports torch."""
