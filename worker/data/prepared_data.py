"""The data of a job, read and encoded for its training."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from app.modalities import MODALITIES
from worker.data.attempt_context import AttemptContext
from worker.data.examples import EncodedDataset
from worker.data.job_inputs import JobInputs, StoredDataset, load
from worker.data.splits import DomainData, divided_classes, split_source
from worker.data.target_labels import learn_target_labels, read_target_labels
from worker.data.training_setup import CachedFeatures, TrainingSetup, encode_dataset, encode_example, prepare_training
from worker.networks.base import Inputs
from worker.protocol.progress import BadData, ProgressReporter

CacheFeatures = Callable[[TrainingSetup, AttemptContext, Inputs], CachedFeatures]


def prepare_data(
    context: AttemptContext, device: torch.device, cache_features: CacheFeatures
) -> tuple[TrainingSetup, DomainData]:
    """Read the inputs of a job, fit or reuse the preprocessing, and encode the datasets. Raise BadData, StopRequested.

    `cache_features` is called if the network is frozen.
    """
    inputs = load(context)
    setup = prepare_training(context, inputs, device)
    _warn_information_loss(setup, inputs, context.reporter)
    if setup.network.is_frozen:
        features = cache_features(setup, context, _example(setup, inputs))
        setup = replace(setup, cached=features, uncached_data=partial(_encode_domains, setup, inputs, context))
    data = _encode_domains(setup, inputs, context)
    _warn_divided_groups(setup, data, context.reporter)
    return setup, data


def _example(setup: TrainingSetup, inputs: JobInputs) -> Inputs:
    """Return a few encoded examples of the job. Raise BadData."""
    dataset = inputs.source or inputs.target
    assert dataset is not None
    return encode_example(setup, dataset)


def _warn_information_loss(setup: TrainingSetup, inputs: JobInputs, reporter: ProgressReporter) -> None:
    """Warn of information that the network does not get from the source, or from the target without a source."""
    dataset = inputs.source or inputs.target
    if dataset is not None:
        for reduction in MODALITIES[inputs.modality].information_loss(setup.network, dataset.profile):
            reporter.warn("data_reduced", reduction)


def _warn_divided_groups(setup: TrainingSetup, data: DomainData, reporter: ProgressReporter) -> None:
    if numbers := divided_classes(data):
        names = ", ".join(setup.classes[number] for number in numbers[:5])
        reporter.warn(
            "divided_groups",
            f"Too few groups (such as recordings) for a validation split: the last examples of {names} are held out. The "
            "accuracy on the source may be too high. Add data from more groups.",
        )


def _encode_domains(setup: TrainingSetup, inputs: JobInputs, context: AttemptContext) -> DomainData:
    """Encode the datasets. Without `use_target_labels`, target labels serve reports only.

    They are those of the evaluation, or of a target that is not trained on.
    """

    def examples(dataset: StoredDataset | None, name: str, *, labelled: bool) -> EncodedDataset | None:
        return encode_dataset(setup, dataset, context.folder / name, labelled=labelled) if dataset else None

    if setup.params.needs_target and inputs.target is None:
        raise BadData(f"`{setup.params.algorithm}` needs a target dataset. Name one in `target`.")
    evaluation = inputs.evaluation
    if evaluation is None and not setup.params.needs_target:
        evaluation = inputs.target
    data = split_source(
        examples(inputs.source, "source", labelled=True),
        examples(inputs.target, "target", labelled=False),
        examples(_with_known_classes(setup, evaluation, context.reporter), "evaluation", labelled=True),
        setup.params,
    )
    if not setup.params.use_target_labels:
        return data
    return learn_target_labels(data, read_target_labels(context, inputs.target, setup.classes), setup.params.target_label_share)


def _with_known_classes(
    setup: TrainingSetup, evaluation: StoredDataset | None, reporter: ProgressReporter
) -> StoredDataset | None:
    """Return the dataset if its labels are classes of the model."""
    if evaluation is None or evaluation.row.classes is None:
        return None
    if unknown := sorted(set(evaluation.row.classes) - set(setup.classes)):
        reporter.warn(
            "unknown_classes",
            "The accuracy on the target is not reported: the evaluation dataset has classes that the source lacks: "
            f"{', '.join(unknown[:5])}.",
        )
        return None
    return evaluation
