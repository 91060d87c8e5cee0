"""The check of a machine with a GPU; see README.md."""
