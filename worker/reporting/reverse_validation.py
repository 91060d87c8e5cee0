"""Reverse validation: a new student learns the network's target predictions and is evaluated on the labelled source.

Zhong et al., ECML PKDD 2010, and Ganin et al., JMLR 2016, section 5.1.2, but the student does not adapt. Correct pseudo-labels
teach a function that also holds on the source, as far as the domains allow. Wrong pseudo-labels either cannot be learned or do
not hold on the source. This exposes networks that are confident and wrong. Trained on MNIST alone, a network is certain of all of
MNIST-M and right on a sixth; its student is right on an eighth of MNIST.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from app.artifacts import TrainingPrecision
from worker.components.augmentation import augment
from worker.estimates.calibrated_outputs import ReverseValidation
from worker.evaluation.outputs import ModelOutputs
from worker.networks.base import Network, batch_norms, frozen_batch_statistics
from worker.plain.data import PlainData
from worker.plain.reverse_validation import reverse_scores
from worker.protocol.progress import StopRequested
from worker.training import plain_models
from worker.training.evaluator import Evaluator

STUDENT_STEPS = 250
STUDENT_BATCH_SIZE = 64
STUDENT_LEARNING_RATE, STUDENT_WEIGHT_DECAY = 1e-3, 1e-3
TRAIN_FRACTION = 0.75
"""Fraction of the target rows that train the student; the others measure it."""
MIN_ROWS, MIN_ROWS_OF_CLASS = 8, 4
"""Minimum number of rows of each domain, and of target rows for each predicted class."""
EVAL_BATCH_SIZE = 256
"""Rows in one forward pass. Batch norm uses the statistics of each pass on the source."""


def reverse_validate(
    build: Callable[[], Network],
    evaluator: Evaluator,
    outputs: ModelOutputs,
    should_stop: Callable[[], bool] = bool,
    precision: TrainingPrecision = "float32",
    seed: int = 0,
) -> ReverseValidation | None:
    """Train and evaluate a student of the network that gave `outputs` on the evaluator's rows.

    `build` returns an untrained student. Return None with too few rows, in all or for a predicted class. Raise StopRequested.
    """
    labels, source_labels = torch.from_numpy(outputs.target_logits.argmax(axis=1)), torch.from_numpy(outputs.source_labels)
    if min(len(labels), len(source_labels)) < MIN_ROWS or len(labels) < MIN_ROWS_OF_CLASS * len(set(labels.tolist())):
        return None
    if (labels == labels[0]).all():  # the student would always predict this class
        return ReverseValidation(float((source_labels == labels[0]).float().mean()), 1.0)
    with torch.random.fork_rng(devices=[evaluator.device] if evaluator.device.type == "cuda" else []):
        torch.manual_seed(seed)
        student = build().to(evaluator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        training, test = torch.randperm(len(labels)).tensor_split([int(TRAIN_FRACTION * len(labels))])
        train_student(student, evaluator, training, labels, should_stop, precision)
    return ReverseValidation(
        confidence=confidence(student, evaluator, test, labels), accuracy=source_accuracy(student, evaluator, source_labels)
    )


def reverse_validate_plain(network: Network, evaluator: Evaluator, outputs: ModelOutputs) -> ReverseValidation | None:
    """Fit and evaluate a logistic regression as the student. `network` is one for linear models, whose columns it learns.

    Return None with too few rows.
    """
    if min(len(outputs.target_logits), len(outputs.source_labels)) < MIN_ROWS:
        return None
    rows = torch.arange(len(outputs.source_labels)), torch.arange(len(outputs.target_logits))
    with torch.inference_mode():
        source, target = (
            plain_models.rows_of(network.eval(), inputs)
            for inputs in (evaluator.source_inputs(rows[0]), evaluator.target_inputs(rows[1]))
        )
    data = PlainData(
        source, outputs.source_labels, target, outputs.target_logits.shape[1], plain_models.alignable_columns(network)
    )
    accuracy, confidence = reverse_scores(data, outputs.target_logits.argmax(axis=1))
    return ReverseValidation(accuracy, confidence)


def train_student(
    student: Network,
    evaluator: Evaluator,
    rows: Tensor,
    labels: Tensor,
    should_stop: Callable[[], bool],
    precision: TrainingPrecision,
) -> None:
    """Train for STUDENT_STEPS steps on these target rows, whose classes are `labels` (m,). Raise StopRequested."""
    student.train()
    optimizer = torch.optim.AdamW(student.parameters(), STUDENT_LEARNING_RATE, weight_decay=STUDENT_WEIGHT_DECAY, fused=True)
    for _ in range(STUDENT_STEPS):
        if should_stop():
            raise StopRequested
        batch = rows[torch.randint(len(rows), (STUDENT_BATCH_SIZE,))]
        inputs = augment(evaluator.target_inputs(batch), evaluator.augmentable, "affine")
        with torch.autocast(evaluator.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = student(inputs)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits.float(), labels[batch].to(evaluator.device)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@torch.no_grad()
def confidence(student: Network, evaluator: Evaluator, rows: Tensor, labels: Tensor) -> float:
    """Return the student's mean probability of the labels (m,) on these target rows."""
    student.eval()
    predictions = [student(evaluator.target_inputs(batch)).softmax(1).cpu() for batch in torch.split(rows, EVAL_BATCH_SIZE)]
    return float(torch.cat(predictions).gather(1, labels[rows].unsqueeze(1)).mean())


@torch.no_grad()
def source_accuracy(student: Network, evaluator: Evaluator, labels: Tensor) -> float:
    """Return the accuracy on the held-out source (n,). Batch norm uses the source's statistics and does not store them."""
    student.eval()
    for norm in batch_norms(student):
        norm.train()
    with frozen_batch_statistics(student):
        batches = torch.arange(len(labels)).tensor_split(math.ceil(len(labels) / EVAL_BATCH_SIZE))
        predicted = torch.cat([student(evaluator.source_inputs(batch)).argmax(1).cpu() for batch in batches])
    return float((predicted == labels).float().mean())
