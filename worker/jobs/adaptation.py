"""The steps of an adaptation: load the data, fit or reuse the preprocessing, train, report, export, store."""

from app import storage_keys
from app.job_types.adaptation import AdaptationResult
from worker.data.attempt_context import AttemptContext
from worker.reporting.report import build_report
from worker.reporting.version import write_version
from worker.search.remote_trials import queued_trials
from worker.search.training import train
from worker.training.loop import TRAINING_SPAN
from worker.training.preparation import training_session

EXPORT_PROGRESS = 0.98
"""Progress at the start of the export, which takes about as long as the evaluation before it."""


def run(context: AttemptContext) -> AdaptationResult | None:
    """Run one attempt of an adaptation, from its last checkpoint if there is one.

    Return None in a process of another rank than zero. Raise StopRequested, BadData, BadParameters, InvalidDataset.
    """
    with training_session(context) as (setup, trials):
        context.reporter.use_precision(trials.precision)
        outcome = train(trials, setup.params, queued_trials(context, trials))
        trials.save()
    if not trials.runtime.distributed.is_rank_zero:
        return None

    context.reporter.enter_phase("evaluating", TRAINING_SPAN.end)
    report = build_report(setup, trials, outcome)
    for warning in report.warnings:
        context.reporter.warn(warning.code, warning.message)
    context.reporter.enter_phase("exporting", EXPORT_PROGRESS)
    manifest = write_version(setup, trials, report, context)
    context.reporter.enter_phase("storing", EXPORT_PROGRESS)
    keys = {file: storage_keys.artifact_file(context.job.id, context.attempt, file.name) for file in setup.folder.iterdir()}
    return AdaptationResult(
        modality=setup.preprocessing.modality,
        metrics=report.metrics,
        manifest=manifest,
        artifacts=[context.storage.put(key, file) for file, key in sorted(keys.items())],
    )
