"""Sizes and times of quantized copies: `python -m benchmarks.serving.quantization [cnn|mlp|text ...]`.

Graphs of the service's own networks, of random weights, and their copies run in ONNX Runtime on one thread, in turns; of a
graph's rounds the quickest counts. What a copy loses is measured in each job, on its own data.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import onnxruntime

from app.artifacts import GRAPHS
from app.modalities.base import Encoded
from benchmarks.serving.programs.graph import session_of
from benchmarks.serving.subjects import MAX_SAMPLES, Subject, cnn, mlp, text
from worker.export.quantization import quantize, to_float16

NETWORKS = {"cnn": cnn, "mlp": mlp, "text": text}
SAMPLES = (1, 8, MAX_SAMPLES)
ROUNDS = 15
ROUND_SECONDS = 0.05


def copies(subject: Subject) -> list[Path]:
    """Return the graph and its copies, in the order of `GRAPHS`."""
    paths = [subject.exported.folder / name for name in GRAPHS.values()]
    to_float16(paths[0], paths[1])
    quantize(paths[0], paths[2], [subject.encoded(MAX_SAMPLES)])
    return paths


def seconds(session: onnxruntime.InferenceSession, inputs: Encoded) -> float:
    """Measure the microseconds of one run, averaged over a round."""
    start, runs = time.perf_counter(), 0
    while (took := time.perf_counter() - start) < ROUND_SECONDS:
        session.run(["logits"], inputs)
        runs += 1
    return took / runs


def times(sessions: list[onnxruntime.InferenceSession], inputs: Encoded) -> list[float]:
    """Return the microseconds of each graph."""
    rounds = [[seconds(session, inputs) for session in sessions] for _ in range(ROUNDS)]
    return [1e6 * min(column) for column in zip(*rounds, strict=True)]


def report(subject: Subject) -> str:
    paths = copies(subject)
    sessions = [session_of(path) for path in paths]
    columns = [times(sessions, subject.encoded(samples)) for samples in SAMPLES]
    lines = [f"{subject.name}: bytes, microseconds of {', '.join(map(str, SAMPLES))} inputs"]
    for index, (precision, path) in enumerate(zip(GRAPHS, paths, strict=True)):
        lines.append(f"  {precision}: {path.stat().st_size:,}, " + ", ".join(f"{column[index]:.1f}" for column in columns))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.quantization")
    parser.add_argument("networks", nargs="*", choices=[[], *NETWORKS], metavar="NETWORK")
    for name in parser.parse_args().networks or NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.write(f"{report(NETWORKS[name](Path(folder)))}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
