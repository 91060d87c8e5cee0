"""The outputs of a network on the same sample of the held-out source and of the target, at every evaluation."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.data.examples import EncodedDataset
from worker.data.splits import DomainData
from worker.evaluation.outputs import Float32Array, LabelledPredictions, MixupOutputs, ModelOutputs, probabilities
from worker.networks.base import Inputs, Network

SELECTION_ROWS = 512
EVALUATION_ROWS = 2048
TARGET_ROWS = 20_000
"""Maximum number of target rows whose outputs a version keeps."""
EVALUATION_BATCH_SIZE = 256
PREDICTION_ROWS = 1024
"""Rows whose probabilities are in memory at once where only predictions are kept."""
MIXUP_WEIGHT = 0.55
"""Weight of the first image in a mixture: Hu et al., NeurIPS 2023 (MixVal)."""


class Evaluator:
    """Computes outputs on at most `rows` examples of the held-out source and of the target each.

    The sample does not depend on the trial or the seed, so scores can be compared.
    """

    def __init__(self, data: DomainData, classes: int, device: torch.device, rows: int = SELECTION_ROWS) -> None:
        self._data, self._classes, self.device = data, classes, device
        generator = torch.Generator().manual_seed(0)
        self._source_rows = _sample(data.held_out, rows, generator)
        self._target_rows = _sample(_all(data.target), rows, generator)
        self._evaluation_rows = _sample(_all(data.evaluation), EVALUATION_ROWS, generator)
        self._partners = torch.randperm(len(self._target_rows), generator=generator)

    @torch.inference_mode()
    def outputs(self, network: Network, *, mixtures: bool = True) -> ModelOutputs:
        """Return the network's outputs, on request without those on mixtures; leave it in evaluation mode."""
        network.eval()
        source_features, source_logits = self._source_outputs(network, self._source_rows)
        target_features, target_logits = self._domain_outputs(network, self._data.target, self._target_rows)
        return ModelOutputs(
            source_features=source_features,
            source_logits=source_logits,
            source_labels=self.source_labels,
            target_features=target_features,
            target_logits=target_logits,
            mixup=self._mixed(network) if mixtures else None,
        )

    @torch.inference_mode()
    def target_accuracy(self, network: Network) -> float | None:
        """Return the accuracy on the evaluation data, which serves only the curve and selects nothing."""
        evaluation = self._data.evaluation
        if evaluation is None or evaluation.labels is None:
            return None
        network.eval()
        _, logits = self._domain_outputs(network, evaluation, self._evaluation_rows)
        return float((logits.argmax(1) == evaluation.labels.cpu()[self._evaluation_rows].numpy()).mean())

    @torch.inference_mode()
    def held_out_predictions(self, network: Network, temperature: float) -> LabelledPredictions | None:
        """Return the predictions for the whole held-out source, None without a source."""
        source, rows = self._data.source, self._data.held_out
        if source is None:
            return None
        logits = (self._source_outputs(network, block)[1] for block in torch.split(rows, PREDICTION_ROWS))
        return _predictions(logits, source, rows, temperature)

    @torch.inference_mode()
    def evaluation_predictions(self, network: Network, temperature: float) -> LabelledPredictions | None:
        """Return the predictions for all evaluation data, None if there is none."""
        evaluation = self._data.evaluation
        if evaluation is None:
            return None
        rows = _all(evaluation)
        logits = (self._domain_outputs(network, evaluation, block)[1] for block in torch.split(rows, PREDICTION_ROWS))
        return _predictions(logits, evaluation, rows, temperature)

    def target_outputs(self, network: Network) -> tuple[NDArray[np.int64], Iterator[tuple[Float32Array, Float32Array]]]:
        """Return the numbers of all target rows, of a sample where there are very many, and blocks of features and logits."""
        network.eval()
        rows = _sample(_all(self._data.target), TARGET_ROWS, torch.Generator().manual_seed(0))
        blocks = torch.split(rows, PREDICTION_ROWS) if len(rows) else ()
        return rows.numpy(), (self._domain_outputs(network, self._data.target, block) for block in blocks)

    def learned_target_rows(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether the job learns from the labels of these target rows (n,)."""
        return np.isin(rows, self._data.learned_target.numpy())

    def target_inputs(self) -> Inputs:
        """Return the sampled target rows, on the CPU."""
        assert self._data.target is not None
        return self._data.target.gather(self._target_rows, torch.device("cpu"))[0]

    @property
    def target_count(self) -> int:
        """Number of sampled target rows."""
        return len(self._target_rows)

    @property
    def source_labels(self) -> NDArray[np.int64]:
        """Class numbers (n,) of the sampled source rows."""
        if self._data.source is None or self._data.source.labels is None:
            return np.empty(0, np.int64)
        labels: NDArray[np.int64] = self._data.source.labels.cpu()[self._source_rows].numpy()
        return labels

    @property
    def row_numbers(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers, from 1, of the sampled rows in the datasets of source and target."""
        return self._source_rows.numpy() + 1, self._target_rows.numpy() + 1

    def _source_outputs(self, network: Network, rows: Tensor) -> tuple[Float32Array, Float32Array]:
        """Return features and logits of source rows, those of each source domain with its own statistics."""
        source = self._data.source
        if source is None or source.domains is None:
            with network.source_statistics():
                return self._domain_outputs(network, source, rows)
        features, logits = self._domain_outputs(network, None, rows[:0])
        features, logits = (np.empty((len(rows), values.shape[1]), np.float32) for values in (features, logits))
        domains = source.domains[rows]
        for number in sorted(set(domains.tolist())):
            chosen = domains == number
            with network.source_statistics(number if number >= 0 else None):
                features[chosen.numpy()], logits[chosen.numpy()] = self._domain_outputs(network, source, rows[chosen])
        return features, logits

    def _domain_outputs(
        self, network: Network, examples: EncodedDataset | None, rows: Tensor
    ) -> tuple[Float32Array, Float32Array]:
        if examples is None or not len(rows):
            return np.empty((0, network.feature_width), np.float32), np.empty((0, self._classes), np.float32)
        return features_and_logits(network, examples, rows, self.device)

    def _mixed(self, network: Network) -> MixupOutputs | None:
        """Return outputs on mixtures, where inputs can be averaged: images, and tables without categories."""
        if self._data.target is None or self._data.target.lengths is not None or len(self._target_rows) < 2:
            return None
        first, second = self._target_rows, self._target_rows[self._partners]
        batches = []
        for one, other in zip(torch.split(first, EVALUATION_BATCH_SIZE), torch.split(second, EVALUATION_BATCH_SIZE), strict=True):
            (inputs, _), (others, _) = self._data.target.gather(one, self.device), self._data.target.gather(other, self.device)
            if any(values.dtype == torch.int64 for values in inputs.values()):
                return None
            batches.append({name: MIXUP_WEIGHT * values + (1 - MIXUP_WEIGHT) * others[name] for name, values in inputs.items()})
        _, logits = _batched_outputs(network, batches)
        return MixupOutputs(logits, np.arange(len(first)), self._partners.numpy(), MIXUP_WEIGHT)


def _predictions(
    logits: Iterable[Float32Array], examples: EncodedDataset, rows: Tensor, temperature: float
) -> LabelledPredictions:
    """Return the predictions of blocks of logits for these rows; only one block is in memory at once."""
    assert examples.labels is not None
    predicted, confidence = list[NDArray[np.int64]](), list[NDArray[np.float64]]()
    for block in logits:
        values = probabilities(block, temperature)
        predicted.append(values.argmax(axis=1))
        confidence.append(values.max(axis=1))
    return LabelledPredictions(examples.labels.cpu()[rows].numpy(), np.concatenate(predicted), np.concatenate(confidence))


def _all(examples: EncodedDataset | None) -> Tensor:
    return torch.arange(len(examples) if examples else 0)


def _sample(indices: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    """Return a random sample of at most `rows` indices, in their order."""
    return indices[torch.randperm(len(indices), generator=generator)[:rows].sort().values]


@torch.inference_mode()
def features_and_logits(
    network: Network, examples: EncodedDataset, rows: Tensor, device: torch.device
) -> tuple[Float32Array, Float32Array]:
    """Return the features (n, d) and logits (n, classes) of these rows, at least one, in their order."""
    return _batched_outputs(network, [examples.gather(chunk, device)[0] for chunk in torch.split(rows, EVALUATION_BATCH_SIZE)])


def _batched_outputs(network: Network, batches: list[Inputs]) -> tuple[Float32Array, Float32Array]:
    """Return the features and logits of these batches."""
    features = [network.features(inputs) for inputs in batches]
    logits = [network.head(batch) for batch in features]
    return torch.cat(features).float().cpu().numpy(), torch.cat(logits).float().cpu().numpy()
