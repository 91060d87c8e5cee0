"""Commands of the Makefile that take more than a line."""
