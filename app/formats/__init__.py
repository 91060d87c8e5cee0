"""Readers of untrusted files. Each reads piece by piece in bounded memory and says where something is wrong.

Nothing is extracted to a path, nothing is unpickled, and every declared size is compared with a bound before it is read.
Rows count from 1, without the header; blank lines do not count.
"""
