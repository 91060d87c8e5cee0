"""A process that ends with another one, which need not be its parent."""

import subprocess
import sys

from app.processes.parent_death import end_with

FOLLOWER = """
import sys, time
from app.processes.parent_death import end_with
print(end_with(int(sys.argv[1])), flush=True)
time.sleep(60)
"""
LEADER = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_process_ends_when_another_one_is_killed() -> None:
    leader = subprocess.Popen(LEADER)
    follower = subprocess.Popen([sys.executable, "-c", FOLLOWER, str(leader.pid)], stdout=subprocess.PIPE, text=True)
    with leader, follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "True\n"
        leader.kill()
        assert follower.wait(timeout=20) != 0


def test_process_that_has_ended_is_noticed() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert not end_with(ended.pid)
