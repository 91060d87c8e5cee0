"""Accuracy on the target of the reference tasks, without and with adaptation: `python -m benchmarks.training.accuracy`.

Every run is a job with the defaults of its algorithm and network, except for the number of steps, the seed and `TASKS`.
`fine_tune` on the source with the same steps is the baseline without adaptation. The accuracy is measured with the network
that the job would serve, on labelled target data used for nothing else.

Runs are stored as lines of a JSON file and not repeated, unless a parameter or default changes.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from app.schemas.jobs import JobCreate
from benchmarks.training.service import Service

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """Files in the data folder, steps of a run, and required mean accuracy of `dann` over three seeds in percent.

    `both` and `dann` are parameters of this task that differ from the defaults, for both algorithms and for `dann`.
    """

    source: str
    target: str
    evaluation: str
    goal: float
    steps: int = 1200
    both: Values = field(default_factory=dict)
    dann: Values = field(default_factory=dict)


MNIST, USPS = "digits/mnist_train.npz", "digits/usps_train.npz"
TASKS = {
    # handwriting of another size, slant and position; and digits that are not equally common in the target
    "mnist-usps": Task(
        MNIST,
        USPS,
        "digits/usps_test.npz",
        goal=95,
        steps=2500,
        dann={"augment_domains": "both", "batch_norm": "shared"},
    ),
    "usps-mnist": Task(USPS, MNIST, "digits/mnist_test.npz", goal=87),
    "mnist-mnistm": Task(MNIST, "digits/mnistm_unlabelled.npz", "digits/mnistm_test.npz", goal=75),
}


@dataclass(frozen=True, slots=True)
class Run:
    """A planned run. `settings` are the values that differ from defaults, as shown in the table."""

    task: str
    algorithm: str
    seed: int
    settings: str
    request: JobCreate

    @property
    def key(self) -> str:
        """The identity of a run: all parameters including defaults."""
        base = self.request.base.model_dump() if self.request.base else None
        return json.dumps([self.task, self.request.params.model_dump(), base], sort_keys=True)


def main() -> None:
    options = parse()
    rows_file = options.folder / "accuracy.jsonl"
    service = Service(options.folder, options.threads)
    kept = {row["run"]: row for row in read(rows_file)}
    rows = []
    for run in runs(service, options):
        if run.key not in kept:
            kept[run.key] = measure(service, run)
            append(rows_file, kept[run.key])
            sys.stderr.write(f"{one_line(kept[run.key])}\n")
        rows.append(kept[run.key] | {"settings": run.settings})
    sys.stdout.write(table(rows, options.seeds))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks.training.accuracy", description="Target accuracy on the reference tasks.")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=3, help="How many: 0, 1, ...")
    parser.add_argument("--steps", type=int, help="Of every run instead of the task's own, but at least one pass.")
    parser.add_argument("--dann", type=json.loads, default={}, help="Parameters instead of the task's, as JSON.")
    parser.add_argument("--both", type=json.loads, default={}, help="Parameters of both instead of the task's, as JSON.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--folder", type=Path, default=Path("var/training"), help="Database, storage and accuracy.jsonl.")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the trainer; 0: as many as torch chooses.")
    return parser.parse_args()


def runs(service: Service, options: argparse.Namespace) -> Iterator[Run]:
    """Yield the runs without adaptation (defaults, then the task's parameters) and with adaptation."""
    for name in options.tasks:
        task = TASKS[name]
        both = task.both | options.both
        baselines = [{}, both] if both else [{}]
        for seed in range(options.seeds):
            for own in baselines:
                yield make_run(service, options, name, "fine_tune", seed, own)
            yield make_run(service, options, name, "dann", seed, both | task.dann | options.dann)


def make_run(service: Service, options: argparse.Namespace, name: str, algorithm: str, seed: int, own: Values) -> Run:
    task = TASKS[name]
    params = {"algorithm": algorithm, "epochs": 1, "min_steps": options.steps or task.steps, "seed": seed}
    request = JobCreate.model_validate(
        {
            "model": name,
            "source": service.upload(options.data / task.source),
            "target": service.upload(options.data / task.target) if algorithm == "dann" else None,
            "evaluation": service.upload(options.data / task.evaluation),
            "base": {"network": "cnn"},
            "params": params | own,
        }
    )
    settings = ", ".join(f"{key} {value}" for key, value in own.items())
    return Run(name, algorithm, seed, settings or "defaults", request)


def measure(service: Service, run: Run) -> Values:
    job = service.submit(run.request)
    started = time.monotonic()
    metrics = service.train(job)
    return {
        "task": run.task,
        "algorithm": run.algorithm,
        "seed": run.seed,
        "target_accuracy": metrics["target_accuracy"],
        "source_accuracy": metrics["source_accuracy"],
        "steps": metrics["steps"],
        "selected_step": metrics["selected_step"],
        "seconds": round(time.monotonic() - started, 1),
        "run": run.key,
    }


def read(path: Path) -> list[Values]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, row: Values) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def one_line(row: Values) -> str:
    return (
        f"{row['task']} {row['algorithm']} seed {row['seed']}: target {row['target_accuracy']:.2%}, "
        f"source {row['source_accuracy']:.2%}, step {row['selected_step']} of {row['steps']}, {row['seconds']} s"
    )


def table(rows: list[Values], seeds: int) -> str:
    """Return a Markdown table of target accuracies in percent."""
    head = ["task", "algorithm", "settings", *(f"seed {seed}" for seed in range(seeds)), "mean", "goal", "source, held out"]
    lines = [head, ["---"] * len(head)]
    for arm in dict.fromkeys((row["task"], row["algorithm"], row["settings"]) for row in rows):
        members = [row for row in rows if (row["task"], row["algorithm"], row["settings"]) == arm]
        lines.append(_table_row(*arm, members))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _table_row(task: str, algorithm: str, settings: str, rows: list[Values]) -> list[str]:
    accuracies = [100 * row["target_accuracy"] for row in rows]
    return [
        task,
        f"`{algorithm}`",
        settings,
        *(f"{accuracy:.1f}" for accuracy in accuracies),
        f"**{mean(accuracies):.1f}**",
        f">= {TASKS[task].goal}" if algorithm == "dann" else "",
        f"{100 * mean(row['source_accuracy'] for row in rows):.1f}",
    ]


if __name__ == "__main__":
    main()
