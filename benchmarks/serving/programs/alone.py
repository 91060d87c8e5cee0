"""ONNX Runtime in a loop on prepared arrays. Prints JSON: runs, CPU seconds, percentiles."""

import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.serving.programs.graph import session_of


def main(graph: str, arrays: str, seconds: float) -> None:
    """Run the graph on `arrays`, an npz of its inputs."""
    session = session_of(Path(graph))
    inputs = dict(np.load(arrays))
    for _ in range(10):
        session.run(["logits"], inputs)
    taken = []
    wall, cpu = time.perf_counter(), time.process_time()
    while (start := time.perf_counter()) < wall + seconds:
        session.run(["logits"], inputs)
        taken.append(time.perf_counter() - start)
    cpu_seconds, wall_seconds = time.process_time() - cpu, time.perf_counter() - wall
    p50, p99 = (1e3 * float(value) for value in np.percentile(taken, [50, 99]))
    answer = {"requests": len(taken), "seconds": wall_seconds, "cpu_seconds": cpu_seconds, "p50_ms": p50, "p99_ms": p99}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
