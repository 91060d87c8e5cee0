"""The choice of `auto` without target labels, compared with the truth: `python -m benchmarks.adaptation.auto`.

A run is the search of a job with `{"algorithm": "auto"}`, with its default candidates unless `--settings` changes them, each
trained for `--steps`. Results are lines of `auto.jsonl`; a restarted benchmark continues with the missing ones. `auto.parquet`
contains all tried networks with their estimates and their true accuracies.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from app.algorithms.auto import AutoParams
from benchmarks.adaptation.encoded import EncodedTask, encode_task, read_dataset
from benchmarks.adaptation.record import trial_runner
from benchmarks.adaptation.tasks import Task, task_from_folder, tasks
from worker.data.splits import split_source
from worker.estimates.accuracy_estimate import estimate_accuracy
from worker.estimates.candidate_evidence import TaskFacts, accuracy_evidence
from worker.protocol.progress import ProgressReporter
from worker.protocol.progress_span import ProgressSpan
from worker.reporting.candidates import Candidate, compare, evaluate
from worker.reporting.report import REPORT_ROWS, without_nan
from worker.search.successive_halving import search
from worker.training.evaluator import Evaluator, features_and_logits
from worker.training.job_evidence import job_evidence
from worker.training.trials import Trial, TrialRunner

CPU = torch.device("cpu")
DIGITS = ("mnist-usps", "usps-mnist", "mnist-mnistm")
Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    folders = {task.name: task for task in map(task_from_folder, options.directories)}
    by_name = tasks(options.data, options.folder / "optdigits") | folders
    options.tasks = [*(options.tasks or (() if folders else DIGITS)), *folders]
    path = options.folder / "auto.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    with threadpool_limits(options.threads):
        for identity in planned_searches(options):
            if any(identity.items() <= row.items() for row in rows):
                continue
            task = by_name[identity["task"]]
            task = task.with_network(options.network) if options.network else task
            rows.append(identity | measure(task, identity["skewed"], identity["seed"], options))
            with path.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print_line(str({key: value for key, value in rows[-1].items() if key != "networks"}))
    network_rows(rows).write_parquet(options.folder / "auto.parquet")
    print_line(table(rows))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptation.auto", description=__doc__)
    parser.add_argument("directories", nargs="*", type=Path, metavar="DIR", help="Tasks: source.*, target.*, evaluation.*")
    parser.add_argument("--tasks", nargs="+", help=f"Names; {', '.join(DIGITS)} when neither names nor directories are given.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, default=3000, help="Steps of a candidate in the second round; a third of it in the first."
    )
    parser.add_argument("--skewed", action="store_true", help="Also run the skewed targets.")
    parser.add_argument("--settings", type=json.loads, default={}, help="Parameters of `auto`, as JSON.")
    parser.add_argument("--network", type=json.loads, help="`base` of a job as JSON, for image tasks, instead of the task's own.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--folder", type=Path, default=Path("var/adaptation"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    return options


def planned_searches(options: argparse.Namespace) -> Iterator[Row]:
    """Yield the identifying values of each run, by seed."""
    common = {"steps": options.steps, "settings": options.settings, "network": options.network}
    for seed in range(options.seeds):
        for task in options.tasks:
            for skewed in (False, True) if options.skewed else (False,):
                yield {"task": task, "skewed": skewed, "seed": seed} | common


def measure(task: Task, skewed: bool, seed: int, options: argparse.Namespace) -> Row:
    """Run a search and compare the selected network with all tried ones."""
    examples = encode_task(task, skewed)
    common = {"epochs": 1, "min_steps": options.steps, "seed": seed}
    params = AutoParams.model_validate({"algorithm": "auto", **common, **options.settings})
    data = split_source(examples.source, examples.target, None, params)
    evaluator = Evaluator(data, len(examples.classes), CPU, REPORT_ROWS)
    began = time.monotonic()
    with TemporaryDirectory() as folder:
        trials = trial_runner(examples, data, params, ProgressReporter(io.StringIO()), Path(folder))
        result = search(trials, params, ProgressSpan())
        best = result.chosen
    searched = time.monotonic() - began
    evidence = job_evidence(data, evaluator, len(examples.classes))
    facts = evidence.facts if evidence else None

    def evaluated(trial: Trial) -> EvaluatedNetwork:
        return EvaluatedNetwork(evaluate(trials, evaluator, trial, evidence), evaluation_accuracy(trials, examples, trial))

    baseline = evaluated(result.reference)
    tried = [(entry, evaluated(entry.trial)) for entry in result.records if entry.trial]
    chosen = next((network for entry, network in tried if entry is best), baseline)
    comparison = compare(chosen.candidate, baseline.candidate, facts, fallback=True, others=result.others)
    registered, discarded = (baseline, chosen) if comparison.selected is baseline.candidate else (chosen, baseline)
    alone = {"method": "source_only", "round": 0, **baseline.row()}
    return {
        "source_only": baseline.accuracy,
        "chosen": registered.accuracy,
        "best": chosen.accuracy,
        "oracle": max(network.accuracy for network in (baseline, *(network for _, network in tried))),
        "method": label(best.params.model_dump()) if best else "source_only",
        "helped": comparison.helped,
        "judgement": comparison.judgement and asdict(comparison.judgement),
        "seconds": searched,
        **registered.estimate(discarded if discarded is not registered else None, facts, task_modality(task)),
        "networks": [
            alone,
            *({"method": label(entry.params.model_dump()), "round": entry.round} | network.row() for entry, network in tried),
        ],
    }


@dataclass(frozen=True, slots=True)
class EvaluatedNetwork:
    """A job's results for a network, and its accuracy on the evaluation dataset."""

    candidate: Candidate
    accuracy: float

    def estimate(self, other: "EvaluatedNetwork | None", facts: TaskFacts | None, modality: str) -> Row:
        """Return the estimate, compared with another network of the job; empty if there are too few rows."""
        tested, others = self.candidate.tested, [other.candidate.tested] if other and other.candidate.tested else []
        if tested is None or facts is None:
            return {}
        result = estimate_accuracy(accuracy_evidence(tested, others, facts), modality)
        return {"estimate": result.value, "low": result.low, "high": result.high}

    def row(self) -> Row:
        """Return a row, with None for unknown values."""
        return {"target_accuracy": self.accuracy, "scores": without_nan(self.candidate.trial.scores)}


def task_modality(task: Task) -> str:
    """Return the modality of the task's files."""
    return read_dataset(task.files[0]).modality.name


def evaluation_accuracy(trials: TrialRunner, examples: EncodedTask, trial: Trial) -> float:
    """Compute the accuracy on the evaluation dataset, which is used for nothing else."""
    assert examples.evaluation.labels is not None
    network = trials.load_network(trial)
    _, logits = features_and_logits(network, examples.evaluation, torch.arange(len(examples.evaluation)), CPU)
    return float((logits.argmax(1) == examples.evaluation.labels.numpy()).mean())


def label(params: Row) -> str:
    """Return the method and its augmentation."""
    return " ".join([params["algorithm"], params["augmentation"], *(["of both"] if params["augment_domains"] == "both" else [])])


def network_rows(rows: list[Row]) -> pl.DataFrame:
    """Return one row per network."""
    identity = ("task", "skewed", "seed")
    return pl.DataFrame(
        [
            {name: row[name] for name in identity} | {name: value for name, value in network.items() if name != "scores"}
            for row in rows
            for network in row["networks"]
        ],
        infer_schema_length=None,
    )


def table(rows: list[Row]) -> str:
    """Return one line per task with means over the seeds and the worst seed."""
    lines = [
        "| task | seeds | source-only | auto | worst seed | oracle of what was tried | error of the estimate | in its interval |"
    ]
    lines.append("|---" * 8 + "|")
    for (task, skewed, steps), part in pl.DataFrame(
        [{key: value for key, value in row.items() if not isinstance(value, (dict, list))} for row in rows]
    ).group_by("task", "skewed", "steps", maintain_order=True):
        covered = ((part["low"] <= part["chosen"]) & (part["chosen"] <= part["high"])).mean()
        error = (part["estimate"] - part["chosen"]).abs().mean()
        figures = [part["source_only"].mean(), part["chosen"].mean(), part["chosen"].min(), part["oracle"].mean(), error, covered]
        shown = " | ".join(f"{100 * float(figure):.1f}" for figure in figures)  # type: ignore[arg-type]
        lines.append(f"| {task}{' skewed' if skewed else ''}, {steps} steps | {len(part)} | {shown} |")
    return "\n".join(lines)


def print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
