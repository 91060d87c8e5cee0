import signal
import subprocess
import sys

from benchmarks.serving import processes
from benchmarks.serving.processes import Stat, cpu_seconds, resident_bytes, tree

BUSY = "import time\nwhile time.process_time() < 0.3: pass\n"
CHILDREN = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BUSY!r}])
subprocess.run([sys.executable, "-c", {BUSY!r} + "print('done', flush=True); input()"])
"""


def test_process_name_may_contain_spaces_and_brackets() -> None:
    line = "42 (a (b) c) S 7 42 40 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 5 1000 77 18446744073709551615"
    assert Stat.parse(line) == Stat(pid=42, parent=7, session=40, cpu_ticks=127, resident_pages=77)


def test_process_tree_contains_only_descendants_and_the_session() -> None:
    def stat(pid: int, parent: int, session: int) -> Stat:
        return Stat(pid, parent, session, 1, 1)

    root, child, grandchild = stat(10, 1, 10), stat(11, 10, 10), stat(12, 11, 12)
    orphan, below_orphan = stat(13, 1, 10), stat(14, 13, 14)
    members = tree(10, [below_orphan, grandchild, child, stat(20, 1, 20), root, orphan])
    assert {member.pid for member in members} == {10, 11, 12, 13, 14}


def test_cpu_time_includes_running_and_ended_children() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILDREN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"done\n"
            assert 0.58 <= cpu_seconds(process.pid) < 5
            assert resident_bytes(process.pid) > 2**20
        finally:
            processes.send(process.pid, signal.SIGKILL)
