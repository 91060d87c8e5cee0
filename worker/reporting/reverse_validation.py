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

from worker.components.augmentation import changed
from worker.estimates.calibrated_outputs import Reverse
from worker.evaluation.outputs import Evidence
from worker.networks.base import Network, batch_norms, unseen
from worker.protocol.progress import Stopped
from worker.training.evaluator import Examiner
from worker.training.loop import has_bfloat16

STEPS = 250
BATCH = 64
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-3
TAUGHT = 0.75
"""Of the target rows; the rest measure."""
FEWEST, FEWEST_OF_CLASS = 8, 4
"""Rows in all, and target rows for each class that is said: of a class that it never saw a pupil knows nothing."""
TOGETHER = 256
"""Rows that are asked about at once: of the source, these are normalised by statistics of their own."""


def reverse(
    build: Callable[[], Network], examiner: Examiner, evidence: Evidence, should_stop: Callable[[], bool] = bool, seed: int = 0
) -> Reverse | None:
    """Of the network whose answers to the examiner's rows the evidence holds; `build` makes a pupil that knows nothing.

    None with few rows, or few for so many classes. Raises Stopped.
    """
    labels, known = torch.from_numpy(evidence.target_logits.argmax(axis=1)), torch.from_numpy(evidence.source_labels)
    if min(len(labels), len(known)) < FEWEST or len(labels) < FEWEST_OF_CLASS * len(set(labels.tolist())):
        return None
    if (labels == labels[0]).all():  # what it would learn is known
        return Reverse(float((known == labels[0]).float().mean()), 1.0)
    with torch.random.fork_rng(devices=[examiner.device] if examiner.device.type == "cuda" else []):
        torch.manual_seed(seed)
        pupil = build().to(examiner.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        taught, kept = torch.randperm(len(labels)).tensor_split([int(TAUGHT * len(labels))])
        teach(pupil, examiner, taught, labels, should_stop)
    return Reverse(confidence=confidence(pupil, examiner, kept, labels), accuracy=source_accuracy(pupil, examiner, known))


def teach(pupil: Network, examiner: Examiner, places: Tensor, labels: Tensor, should_stop: Callable[[], bool]) -> None:
    """STEPS steps on the target rows at these places, whose classes are `labels` (m,). Raises Stopped."""
    pupil.train()
    optimizer = torch.optim.AdamW(pupil.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    for _ in range(STEPS):
        if should_stop():
            raise Stopped
        chosen = places[torch.randint(len(places), (BATCH,))]
        inputs = changed(examiner.target_inputs(chosen), "affine")
        with torch.autocast(examiner.device.type, torch.bfloat16, enabled=has_bfloat16(examiner.device, pupil)):
            logits = pupil(inputs)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits.float(), labels[chosen].to(examiner.device)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@torch.no_grad()
def confidence(pupil: Network, examiner: Examiner, places: Tensor, labels: Tensor) -> float:
    """Mean probability of the labels (m,) at these places."""
    pupil.eval()
    shares = [pupil(examiner.target_inputs(part)).softmax(1).cpu() for part in torch.split(places, TOGETHER)]
    return float(torch.cat(shares).gather(1, labels[places].unsqueeze(1)).mean())


@torch.no_grad()
def source_accuracy(pupil: Network, examiner: Examiner, labels: Tensor) -> float:
    """On the held-out source (n,), normalised by its own statistics, which leave no trace."""
    pupil.eval()
    for norm in batch_norms(pupil):
        norm.train()
    with unseen(pupil):
        parts = torch.arange(len(labels)).tensor_split(math.ceil(len(labels) / TOGETHER))
        said = torch.cat([pupil(examiner.source_inputs(part)).argmax(1).cpu() for part in parts])
    return float((said == labels).float().mean())
