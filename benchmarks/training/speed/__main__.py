"""Milliseconds of a step of DANN: our loop, the leanest one and other libraries. `python -m benchmarks.training.speed --install`.

All train the same layers on the same images in one thread: 64 of the source and 64 of the target per step. Their rounds
alternate.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks.training.speed.environments import install
from benchmarks.training.speed.systems import ADAPT, KINDS, LEAN, OURS, PYTORCH_ADAPT, SKADA, Kind, System

EVALUATIONS = 20
MODULES = list(dict.fromkeys(kind.module for kind in KINDS))
GOALS = {(LEAN,): ("at most", 1.10), (SKADA, PYTORCH_ADAPT): ("at most", 0.55), (ADAPT,): ("below", 0.80)}


def main() -> None:
    options = parse()
    if options.install:
        install(options.folder)
    measured = measure(options)
    sys.stdout.write(f"{table(measured)}\n{ratios(measured)}")
    if OURS in measured:
        sys.stdout.write(f"\n{beside(measured[OURS], options)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks.training.speed", description="Milliseconds of a step of DANN, against others.")
    parser.add_argument("--install", action="store_true", help="Make the environments of the peers first, if they are missing.")
    parser.add_argument("--only", nargs="+", choices=MODULES, default=MODULES)
    parser.add_argument("--rounds", type=int, default=8, help="Of each system.")
    parser.add_argument("--steps", type=int, default=40, help="In a round.")
    parser.add_argument("--allocator", choices=["ours", "all"], default="ours", help="Who gets the trainer's malloc settings.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/digits"))
    parser.add_argument("--folder", type=Path, default=Path("var/speed"), help="Environments of the peers, and logs.")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[Kind, System]:
    """Measure all systems round by round."""
    options.folder.mkdir(parents=True, exist_ok=True)
    arguments = [str(options.data.absolute()), str(1 + options.rounds * options.steps), str(options.steps)]
    with ExitStack() as stack:
        systems = {}
        for kind in KINDS:
            if kind.module in options.only:
                allocator = options.allocator == "all" or not kind.peer
                systems[kind] = system = System.start(kind, options.folder, arguments, allocator=allocator)
                stack.callback(system.kill)
                system.ready()
        for _ in range(options.rounds):
            for system in systems.values():
                system.run_round()
        for system in systems.values():
            system.end()
    return systems


def table(measured: dict[Kind, System]) -> str:
    head = ["", "ms a step, best round", "median", "processor", "source accuracy", "target accuracy"]
    lines = [head, ["---"] * len(head)]
    for kind, system in measured.items():
        accuracies = [f"{100 * accuracy:.1f}" for accuracy in system.accuracies]
        times = [f"{value:.1f}" for value in (system.best, system.median, system.processor)]
        lines.append([kind.name, *times, *accuracies])
    return _markdown(lines)


def ratios(measured: dict[Kind, System]) -> str:
    """Return the ratios of our time to the others', or to the fastest of several."""
    head = ["ours, compared to", "best round", "median", "processor", "goal"]
    lines = [head, ["---"] * len(head)]
    ours = measured.get(OURS)
    for kinds, (word, goal) in GOALS.items():
        others = [measured[kind] for kind in kinds if kind in measured]
        if ours and others:
            other = min(others, key=lambda system: system.best)
            values = (ours.best / other.best, ours.median / other.median, ours.processor / other.processor)
            lines.append([other.kind.name, *(f"{value:.2f}" for value in values), f"{word} {goal:.2f}"])
    return _markdown(lines)


def beside(ours: System, options: argparse.Namespace) -> str:
    """Return the costs that the median step does not show."""
    evaluation = ours.beside * options.rounds * options.steps / EVALUATIONS
    return f"Beside its steps, each run of ours has {EVALUATIONS} evaluations of {evaluation:.0f} ms, whatever its length.\n"


def _markdown(lines: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
