"""The tests. Each process computes in one thread: several test processes would wait for one another's threads in every step."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy, scipy and torch are loaded, here and in child processes
