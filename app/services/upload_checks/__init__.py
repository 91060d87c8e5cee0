"""Checks of untrusted files, in child processes with limits of time and memory.

Context: some readers abort the process on a damaged file (Polars allocates an unchecked length of a Parquet page). Others hold
the GIL for seconds or need gigabytes for a file of a few kilobytes.
Decision: the server never reads the content of an upload. Child processes without the server's environment read it, at most one
per core at a time. They return plain JSON. Idle children are used again, because starting one takes about a second.
Consequences: no upload stops the server or delays other requests. A child that exceeds a limit is killed; its upload gets 422.
Alternatives: `concurrent.futures.ProcessPoolExecutor` (a killed child breaks the whole pool, and its environment is that of the
server); a new process for each upload (slower for small files); threads (no limit of memory, no end).
"""
