"""What `auto` chooses without a label of the target, against the truth: `python -m benchmarks.adaptation.auto`.

A run is the search of a job with `{"algorithm": "auto"}`: its default candidates unless `--settings` says otherwise, each at full
length for `--steps`. Every line is kept in `auto.jsonl`; stopped and started again, it goes on with what is not there.
"""

import argparse
import io
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from app.algorithms.auto import AutoParams
from app.storage import Storage
from benchmarks.adaptation.encoded import Encoded, encoded
from benchmarks.adaptation.tasks import Task, tasks
from worker.checkpoints import Checkpoints
from worker.data import make_data
from worker.estimates import accuracy
from worker.estimates.parts import parts
from worker.examiner import Examiner, answers
from worker.finding import compare, find
from worker.reporter import Reporter
from worker.search import search
from worker.statement import ROWS
from worker.trials import Trial, Trials

CPU = torch.device("cpu")
Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    known = tasks(options.data, options.folder / "optdigits")
    path = options.folder / "auto.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    with threadpool_limits(options.threads):
        for identity in planned(options):
            if any(identity.items() <= row.items() for row in rows):
                continue
            rows.append(identity | measure(known[identity["task"]], identity["skewed"], identity["seed"], options))
            with path.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            say(str({key: value for key, value in rows[-1].items() if key != "tried"}))
    say(table(rows))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptation.auto", description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=["mnist-usps", "usps-mnist", "mnist-mnistm"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3000, help="Of a candidate in the second round; a third of it in the first.")
    parser.add_argument("--skewed", action="store_true", help="The skewed versions of the targets as well.")
    parser.add_argument("--settings", type=json.loads, default={}, help="Parameters of `auto`, as JSON.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--folder", type=Path, default=Path("var/adaptation"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    return options


def planned(options: argparse.Namespace) -> Iterator[Row]:
    """What tells the runs apart, seed by seed."""
    common = {"steps": options.steps, "settings": options.settings}
    for seed in range(options.seeds):
        for task in options.tasks:
            for skewed in (False, True) if options.skewed else (False,):
                yield {"task": task, "skewed": skewed, "seed": seed} | common


def measure(task: Task, skewed: bool, seed: int, options: argparse.Namespace) -> Row:
    """Search, and compare what was chosen with everything that was tried."""
    examples = encoded(task, skewed)
    common = {"epochs": 1, "minimum_steps": options.steps, "seed": seed}
    params = AutoParams.model_validate({"algorithm": "auto", **common, **options.settings})
    data = make_data(examples.source, examples.target, None, params)
    began = time.monotonic()
    with TemporaryDirectory() as folder:
        trials = Trials(
            examples.build,
            data,
            len(examples.classes),
            CPU,
            Reporter(io.StringIO()),
            Checkpoints(Storage(f"file://{folder}/storage"), "benchmark", Path(folder), ""),
            math.inf,
        )
        reference, best, entries = search(trials, params, (0.0, 1.0))
    searched = time.monotonic() - began
    chosen = best.trial if best and best.trial else reference
    examiner = Examiner(data, len(examples.classes), CPU, seed, ROWS)
    plain = find(trials, examiner, reference)
    comparison = compare(plain if chosen is reference else find(trials, examiner, chosen), plain, fallback=True, searched=True)
    row: Row = {
        "source_only": truth(trials, examples, reference),
        "chosen": truth(trials, examples, comparison.kept.trial),
        "best": truth(trials, examples, chosen),
        "method": label(best.params.model_dump()) if best else "source_only",
        "helped": comparison.helped,
        "verdict": comparison.verdict and asdict(comparison.verdict),
        "tried": [
            {"params": label(entry.params.model_dump()), "round": entry.round, "accuracy": truth(trials, examples, entry.trial)}
            | {"scores": {name: score for name, score in entry.trial.scores.items() if not math.isnan(score)}}
            for entry in entries
            if entry.trial
        ],
        "seconds": searched,
    }
    row["oracle"] = max(row["source_only"], *(entry["accuracy"] for entry in row["tried"]))
    if comparison.kept.study:
        other = comparison.rejected.study if comparison.rejected else None
        estimate = accuracy.estimate(parts(comparison.kept.study, other))
        row |= {"estimate": estimate.value, "low": estimate.low, "high": estimate.high}
    return row


def truth(trials: Trials, examples: Encoded, trial: Trial) -> float:
    """Accuracy on the evaluation, which nothing else looks at."""
    assert examples.evaluation.labels is not None
    network = trials.network(trial)
    _, logits = answers(network, examples.evaluation, torch.arange(len(examples.evaluation)), CPU)
    return float((logits.argmax(1) == examples.evaluation.labels.numpy()).mean())


def label(params: Row) -> str:
    """The method and how its pictures are changed."""
    return " ".join([params["algorithm"], params["augmentation"], *(["of both"] if params["augmented"] == "both" else [])])


def table(rows: list[Row]) -> str:
    """A line a task: means over the seeds, and the worst of them."""
    lines = [
        "| task | seeds | source-only | auto | worst seed | oracle of what was tried | error of the estimate | in its interval |"
    ]
    lines.append("|---" * 8 + "|")
    for (task, skewed, steps), part in pl.DataFrame(
        [{key: value for key, value in row.items() if key not in ("tried", "settings", "verdict")} for row in rows]
    ).group_by("task", "skewed", "steps", maintain_order=True):
        covered = ((part["low"] <= part["chosen"]) & (part["chosen"] <= part["high"])).mean()
        error = (part["estimate"] - part["chosen"]).abs().mean()
        figures = [part["source_only"].mean(), part["chosen"].mean(), part["chosen"].min(), part["oracle"].mean(), error, covered]
        shown = " | ".join(f"{100 * float(figure):.1f}" for figure in figures)  # type: ignore[arg-type]
        lines.append(f"| {task}{' skewed' if skewed else ''}, {steps} steps | {len(part)} | {shown} |")
    return "\n".join(lines)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
