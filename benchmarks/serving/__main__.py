"""`python -m benchmarks.serving`: see README.md."""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.serving import matrix, report, servers, store
from benchmarks.serving.cases import CASES, Case, Effort, Finding
from benchmarks.serving.load import LoadError
from benchmarks.serving.matrix import Plan, WrongResponseError
from benchmarks.serving.results import ALONE, HELLO, Cell, Results
from benchmarks.serving.servers import Machine, Running, Server, StartError
from benchmarks.serving.subjects import SUBJECTS, Subject

NAMES = [HELLO, ALONE, "isthmus", "plain", *(peer.name for peer in servers.PEERS)]
MATRICES = ("matrix", "v2", "image", "text")


def main() -> None:
    arguments = _arguments()
    first, second = sorted(os.sched_getaffinity(0))[:2]
    machine = Machine(Path(arguments.folder).absolute(), first, second)
    os.sched_setaffinity(0, {second})
    path = machine.folder / "results.jsonl"
    if not (arguments.resume or arguments.report):
        path.unlink(missing_ok=True)
    # the servers end with the blocks that started them
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    results = Results(path)
    if not arguments.report:
        _run(arguments, machine, results)
    sys.stdout.write(report.render(results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description="What a prediction costs.")
    parser.add_argument("--cases", nargs="+", choices=[*MATRICES, *CASES], default=[*MATRICES, *CASES])
    parser.add_argument("--servers", nargs="+", choices=NAMES, default=NAMES, help="Of the cases before `overload`.")
    parser.add_argument("--connections", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--seconds", type=int, default=2, help="Of each measurement, whole seconds.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=1_000_000, help="Of the case `memory`.")
    parser.add_argument("--folder", default="var/benchmarks/serving", help="Results, logs and scratch files.")
    parser.add_argument("--resume", action="store_true", help="Go on with the results that are there.")
    parser.add_argument("--report", action="store_true", help="Print the existing results without a run.")
    return parser.parse_args()


def _run(arguments: argparse.Namespace, machine: Machine, results: Results) -> None:
    results.find("conditions", report.conditions(arguments.seconds, arguments.rounds))
    cells = _cells(arguments)
    if cells:
        _run_matrix(arguments, cells, machine, results)
    for name in arguments.cases:
        if name in CASES and name not in results.findings:
            sys.stderr.write(f"{name}\n")
            results.find(name, _found(CASES[name], machine, Effort(arguments.seconds, arguments.requests)))


def _found(case: Case, machine: Machine, effort: Effort) -> Finding:
    """Run a case and return its findings, or its error, so that the other cases still run."""
    try:
        return case(machine, effort)
    except (StartError, WrongResponseError, LoadError) as error:
        return {"not measured": str(error)}


def _cells(arguments: argparse.Namespace) -> list[Cell]:
    matrices = {
        "matrix": matrix.cells(("lenet", "mlp"), (1, 64), ("json", "binary"), arguments.connections),
        "v2": matrix.cells(("lenet", "mlp"), (1, 64), ("v2", "v2 binary"), arguments.connections),
        "image": matrix.cells(("image",), (1,), ("jpeg",), arguments.connections),
        "text": matrix.cells(("text",), (1, 64), ("json",), arguments.connections),
    }
    return [cell for name in arguments.cases for cell in matrices.get(name, ())]


def _run_matrix(arguments: argparse.Namespace, cells: Sequence[Cell], machine: Machine, results: Results) -> None:
    names = dict.fromkeys(cell.subject for cell in cells)
    subjects = {name: SUBJECTS[name](machine.folder / "exported" / name) for name in names}
    data = machine.folder / "data"
    store.fill(data, list(subjects.items()))
    _lay_out(machine, subjects)
    available = (servers.HELLO, servers.isthmus(data), servers.PLAIN, *servers.PEERS)
    plan = Plan(cells, arguments.rounds, arguments.seconds, ALONE in arguments.servers)
    with _all_running([server for server in available if server.name in arguments.servers], machine, results) as running:
        matrix.run(plan, running, subjects, machine, results)


def _lay_out(machine: Machine, subjects: dict[str, Subject]) -> None:
    """Copy the graphs to the folders of the other servers."""
    for folder, server in ((machine.graphs, servers.LITSERVE), (machine.more_graphs, servers.PLAIN)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in set(subjects).intersection(server.subjects):
            shutil.copyfile(subjects[name].graph, folder / f"{name}.onnx")


@contextmanager
def _all_running(selected: Sequence[Server], machine: Machine, results: Results) -> Iterator[list[Running]]:
    """Return the servers that can be installed and started. Record the errors of the others."""
    with ExitStack() as stack:
        running, reasons = [], []
        for server in selected:
            try:
                servers.install(server, machine)
                running.append(stack.enter_context(servers.running(server, machine)))
            except StartError as error:
                reasons.append(str(error))
        if reasons:
            results.find("not started", {"reasons": reasons})
        yield running


if __name__ == "__main__":
    main()
