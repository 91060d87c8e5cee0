"""Datasets by their origin. Each module has a function `datasets` of the folder with the shared data."""
