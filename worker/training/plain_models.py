"""Plain methods on the data of a job: columns from a network's backbone, and the fitted model as the network's weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor, nn

from app.algorithms.base import AlgorithmParams
from worker import algorithms
from worker.data.examples import EncodedDataset
from worker.data.splits import DomainData
from worker.networks.base import Inputs, Network
from worker.networks.layers import SOURCE_DOMAINS, DomainScaler, TableColumns
from worker.networks.linear import ColumnsAndTerms
from worker.networks.trees import TreeEnsemble
from worker.plain.data import PlainData, Rows, Scale, join
from worker.plain.linear import LinearClassifier
from worker.plain.models import PlainModel
from worker.plain.trees import TreeClassifier

MAX_ROWS, MIN_MAX_ROWS = 20_000, 2_000
MAX_WORK = 200_000_000
"""Rows times columns times classes of a fit, which then takes seconds."""
BATCH_ROWS = 1024
CPU = torch.device("cpu")


def fit(params: AlgorithmParams, network: Network, data: DomainData, classes: int) -> None:
    """Fit the plain method of these parameters, on the CPU, and write it into the network."""
    assert data.source is not None
    assert data.source.labels is not None
    limit = _row_limit(network, classes)
    labels = data.source.labels.cpu()
    training = _sample(data.training, labels[data.training], limit, params.seed)
    target = data.target if params.needs_target else None
    domains = None if data.source.domains is None else data.source.domains[training].numpy()
    plain = PlainData(
        source=replace(gather(network, data.source, training), domains=domains),
        labels=labels[training].numpy(),
        target=gather(network, target, _sample(torch.arange(len(target)), None, limit, params.seed)) if target else None,
        classes=classes,
        alignable=alignable_columns(network),
    )
    write(algorithms.plain_method(params).fit(plain), network)


@torch.inference_mode()
def gather(network: Network, examples: EncodedDataset, indices: Tensor) -> Rows:
    """Return the columns and the terms of these examples."""
    network.eval()
    return join([rows_of(network, examples.gather(part, CPU)[0]) for part in torch.split(indices, BATCH_ROWS)])


def rows_of(network: Network, inputs: Inputs) -> Rows:
    """Return the columns and the terms of a batch of inputs."""
    backbone = network.backbone
    count = len(next(iter(inputs.values())))
    if not isinstance(backbone, ColumnsAndTerms):
        return Rows(backbone(inputs).double().numpy())
    columns = np.empty((count, 0)) if backbone.columns is None else backbone.columns(inputs).double().numpy()
    return Rows(columns, None if backbone.terms is None else _terms(inputs, backbone.terms.embedding.num_embeddings))


def _terms(inputs: Inputs, vocabulary: int) -> csr_array:
    ids, weights = inputs["terms"].numpy(), inputs["weights"].double().numpy()
    rows = np.repeat(np.arange(len(ids)), ids.shape[1])
    used = weights.ravel() != 0
    return csr_array((weights.ravel()[used], (rows[used], ids.ravel()[used])), shape=(len(ids), vocabulary))


def alignable_columns(network: Network) -> NDArray[np.bool_]:
    """Mark the columns that may be scaled per domain: the numbers of a table, or all features."""
    backbone = network.backbone
    table = backbone.columns if isinstance(backbone, ColumnsAndTerms) else backbone
    if isinstance(table, TableColumns):
        return np.arange(table.width) < table.number_count
    if table is None:
        return np.zeros(0, np.bool_)
    return np.ones(network.feature_width, np.bool_)


@torch.no_grad()
def write(model: PlainModel, network: Network) -> None:
    """Write a fitted model into a network of its kind."""
    scaler = network.bottleneck
    assert isinstance(scaler, DomainScaler)
    columns = len(model.target_scale.mean)
    for mean, variance, scale in (
        (scaler.running_mean, scaler.running_var, model.target_scale),
        (scaler.source_mean, scaler.source_var, model.source_scale),
    ):
        _write_scale(mean, variance, scale)
    scaler.has_source.fill_(True)
    _write_source_domains(scaler, model.source_scale)
    if model.source_map is not None:
        scaler.source_map[:columns, :columns] = _tensor(model.source_map)
    if isinstance(model.classifier, TreeClassifier):
        _write_trees(model.classifier, network.head)
    else:
        assert isinstance(model.classifier, LinearClassifier)
        _write_linear(model.classifier, network)


def _write_source_domains(scaler: DomainScaler, source: Scale) -> None:
    """Write the scale of each source domain; that of the whole source for methods with one scale."""
    if scaler.has_source_domains:
        means, variances = (scaler.get_buffer(name) for name in SOURCE_DOMAINS)
        for number, (mean, variance) in enumerate(zip(means, variances, strict=True)):
            _write_scale(mean, variance, source.domains[number] if number < len(source.domains) else source)


def _write_scale(mean: Tensor, variance: Tensor, scale: Scale) -> None:
    """Write the scale of the columns; scores of terms after them stay as they are."""
    mean[: len(scale.mean)] = _tensor(scale.mean)
    variance[: len(scale.std)] = _tensor(np.square(scale.std))


def _write_linear(classifier: LinearClassifier, network: Network) -> None:
    head, columns = network.head, classifier.weight.shape[1]
    assert isinstance(head, nn.Linear)
    head.weight[:, :columns] = _tensor(classifier.weight)
    head.bias.copy_(_tensor(classifier.intercept))
    if classifier.term_weight is not None:
        terms = network.backbone.get_submodule("terms")
        terms.get_parameter("embedding.weight").copy_(_tensor(classifier.term_weight.T))
        terms.get_parameter("bias").zero_()
        head.weight[:, columns:] = torch.eye(head.out_features)


def _write_trees(classifier: TreeClassifier, head: nn.Module) -> None:
    assert isinstance(head, TreeEnsemble)
    for name in ("columns", "thresholds", "values", "baseline"):
        getattr(head, name).copy_(torch.from_numpy(getattr(classifier, name).ravel()))


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _row_limit(network: Network, classes: int) -> int:
    return int(np.clip(MAX_WORK // (network.feature_width * classes), MIN_MAX_ROWS, MAX_ROWS))


def _sample(indices: Tensor, labels: Tensor | None, limit: int, seed: int) -> Tensor:
    """Return at most `limit` of the indices, at random, in their order, with every label."""
    if len(indices) <= limit:
        return indices
    order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed))
    chosen = order[:limit]
    if labels is not None:
        _, first = np.unique(labels[order].numpy(), return_index=True)
        chosen = torch.cat([chosen, order[torch.from_numpy(first)]])
    return indices[torch.from_numpy(np.unique(chosen.numpy()))]
