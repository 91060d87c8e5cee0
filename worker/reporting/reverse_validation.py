"""Reverse validation: a pupil, as new, learns the target from the labels that a network gave it, and is asked about the source.

Zhong et al., ECML PKDD 2010; as Ganin et al., JMLR 2016, section 5.1.2, but no pupil adapts. Labels that are right teach what
holds on the source as well, as far as the domains allow; labels that are wrong in a way that does not depend on what is seen
cannot be learned, and are contradicted where the pupil has not seen them. A network that is confident and wrong shows in the
one or the other: trained on MNIST alone it is certain of all of MNIST-M and right about a sixth, and its pupil about an eighth
of MNIST.
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
from worker.protocol.progress import StopRequested
from worker.training.evaluator import Evaluator

STUDENT_STEPS = 250
STUDENT_BATCH_SIZE = 64
STUDENT_LEARNING_RATE, STUDENT_WEIGHT_DECAY = 1e-3, 1e-3
TRAIN_FRACTION = 0.75
"""Of the target rows; the rest measure."""
MIN_ROWS, MIN_ROWS_OF_CLASS = 8, 4
"""Rows in all, and target rows for each class that is said: of a class that it never saw a pupil knows nothing."""
EVAL_BATCH_SIZE = 256
"""Rows that are asked about at once: of the source, these are normalised by statistics of their own."""


def reverse_validate(
    build: Callable[[], Network],
    examiner: Evaluator,
    evidence: ModelOutputs,
    should_stop: Callable[[], bool] = bool,
    precision: TrainingPrecision = "float32",
    seed: int = 0,
) -> ReverseValidation | None:
    """Of the network whose answers to the examiner's rows the evidence holds; `build` makes a pupil that knows nothing.

    None with few rows, or few for so many classes. Raises Stopped.
    """
    labels, known = torch.from_numpy(evidence.target_logits.argmax(axis=1)), torch.from_numpy(evidence.source_labels)
    if min(len(labels), len(known)) < MIN_ROWS or len(labels) < MIN_ROWS_OF_CLASS * len(set(labels.tolist())):
        return None
    if (labels == labels[0]).all():  # what it would learn is known
        return ReverseValidation(float((known == labels[0]).float().mean()), 1.0)
    with torch.random.fork_rng(devices=[examiner.device] if examiner.device.type == "cuda" else []):
        torch.manual_seed(seed)
        pupil = build().to(examiner.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        taught, kept = torch.randperm(len(labels)).tensor_split([int(TRAIN_FRACTION * len(labels))])
        train_student(pupil, examiner, taught, labels, should_stop, precision)
    return ReverseValidation(
        confidence=confidence(pupil, examiner, kept, labels), accuracy=source_accuracy(pupil, examiner, known)
    )


def train_student(
    student: Network,
    examiner: Evaluator,
    places: Tensor,
    labels: Tensor,
    should_stop: Callable[[], bool],
    precision: TrainingPrecision,
) -> None:
    """STEPS steps on the target rows at these places, whose classes are `labels` (m,). Raises Stopped."""
    student.train()
    optimizer = torch.optim.AdamW(student.parameters(), STUDENT_LEARNING_RATE, weight_decay=STUDENT_WEIGHT_DECAY, fused=True)
    for _ in range(STUDENT_STEPS):
        if should_stop():
            raise StopRequested
        chosen = places[torch.randint(len(places), (STUDENT_BATCH_SIZE,))]
        inputs = augment(examiner.target_inputs(chosen), examiner.augmentable, "affine")
        with torch.autocast(examiner.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = student(inputs)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits.float(), labels[chosen].to(examiner.device)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@torch.no_grad()
def confidence(student: Network, examiner: Evaluator, places: Tensor, labels: Tensor) -> float:
    """Mean probability of the labels (m,) at these places."""
    student.eval()
    shares = [student(examiner.target_inputs(part)).softmax(1).cpu() for part in torch.split(places, EVAL_BATCH_SIZE)]
    return float(torch.cat(shares).gather(1, labels[places].unsqueeze(1)).mean())


@torch.no_grad()
def source_accuracy(student: Network, examiner: Evaluator, labels: Tensor) -> float:
    """On the held-out source (n,), normalised by its own statistics, which leave no trace."""
    student.eval()
    for norm in batch_norms(student):
        norm.train()
    with frozen_batch_statistics(student):
        parts = torch.arange(len(labels)).tensor_split(math.ceil(len(labels) / EVAL_BATCH_SIZE))
        said = torch.cat([student(examiner.source_inputs(part)).argmax(1).cpu() for part in parts])
    return float((said == labels).float().mean())
