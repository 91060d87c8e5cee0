"""Readers of untrusted files. Each reads in chunks, in bounded memory, and reports the position of every error.

Nothing is extracted to a path or unpickled. Every declared size is compared with a bound before it is read.
Rows count from 1, without the header; blank lines do not count.
"""
