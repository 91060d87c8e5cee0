"""Encoded inputs as rows of plain models, on which the predictions of all candidates are tested.

Images become small (at most IMAGE_SIDE pixels a side), series keep their course and their spectrum, texts are bags of terms.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.decomposition import TruncatedSVD
from torch import Tensor
from torch.nn import functional as F

from worker.networks.base import Inputs
from worker.plain.data import Rows

IMAGE_SIDE, SERIES_STEPS, SPECTRUM_STEPS = 16, 96, 48
TERM_INPUTS = {"terms": "weights", "input_ids": "attention_mask"}
MAX_DEVIATIONS, MAX_LEVELS = 10.0, 255
MAX_WEIGHTS, MIN_COLUMNS = 100_000, 32
"""Weights of a student, which is fitted in seconds, and the columns that it learns in any case."""

Columns = list[tuple[Tensor, bool]]
"""Tensors (n, d), and whether their columns may be scaled per domain."""


def evidence_rows(source: Inputs, target: Inputs) -> tuple[Rows, Rows, NDArray[np.bool_]]:
    """Return the rows of both domains, and which columns (d,) may be scaled per domain."""
    parts: Columns = []
    for name in source:
        both = _both(source[name], target[name])
        if name == "numbers":
            parts += _numbers(both)
        elif name == "categories":
            parts += [(F.one_hot(both[:, column].clamp(max=MAX_LEVELS)).float(), False) for column in range(both.shape[1])]
        elif name == "pixels":
            parts.append((_small_images(both), True))
        elif name == "series":
            parts += [(_resampled(both, SERIES_STEPS), True), (_spectrum(both), True)]
        elif name not in (*TERM_INPUTS, *TERM_INPUTS.values()):
            parts.append((both.flatten(1).float(), True))
    count = len(next(iter(source.values())))
    rows = len(next(iter(target.values()))) + count
    columns = torch.cat([values for values, _ in parts], dim=1).double().numpy() if parts else np.zeros((rows, 0))
    alignable = np.array([may for values, may in parts for _ in range(values.shape[1])], np.bool_)
    terms = next((_terms(source, target, *names) for names in TERM_INPUTS.items() if names[0] in source), None)
    first, second = (None, None) if terms is None else (terms[:count], terms[count:])
    return Rows(columns[:count], first), Rows(columns[count:], second), alignable


def _both(source: Tensor, target: Tensor) -> Tensor:
    """Return the examples of both domains, of which the shorter ones are padded with zeros (texts)."""
    if source.ndim == 2 and source.shape[1] != target.shape[1]:
        longest = max(source.shape[1], target.shape[1])
        source, target = (F.pad(values, (0, longest - values.shape[1])) for values in (source, target))
    return torch.cat([source.cpu(), target.cpu()])


def _numbers(values: Tensor) -> Columns:
    """Return the numbers without outliers, the mean in place of missing ones, and indicators of these."""
    missing = values.isnan()
    mean = values.nanmean(dim=0).nan_to_num()
    filled = torch.where(missing, mean, values)
    reach = MAX_DEVIATIONS * filled.std(dim=0) + 1e-9
    return [(torch.minimum(torch.maximum(filled, mean - reach), mean + reach), True), (missing.float(), False)]


def _small_images(pixels: Tensor) -> Tensor:
    images = pixels.permute(0, 3, 1, 2).float() / 255
    sides = [min(IMAGE_SIDE, size) for size in images.shape[2:]]
    return F.adaptive_avg_pool2d(images, (sides[0], sides[1])).flatten(1)


def _resampled(series: Tensor, steps: int) -> Tensor:
    return F.adaptive_avg_pool1d(series.float().nan_to_num(), min(steps, series.shape[2])).flatten(1)


def _spectrum(series: Tensor) -> Tensor:
    spectrum = torch.fft.rfft(series.float().nan_to_num(), dim=2).abs().log1p()
    return F.adaptive_avg_pool1d(spectrum, min(SPECTRUM_STEPS, spectrum.shape[2])).flatten(1)


def _terms(source: Inputs, target: Inputs, name: str, weight: str) -> csr_array:
    """Return the weights of the terms (n, vocabulary)."""
    ids, weights = (_both(source[key], target[key]).numpy() for key in (name, weight))
    numbers = np.repeat(np.arange(len(ids)), ids.shape[1])
    shape = (len(ids), int(ids.max(initial=0)) + 1)
    terms = csr_array((weights.ravel().astype(np.float64), (numbers, ids.ravel())), shape=shape)
    terms.sum_duplicates()
    terms.eliminate_zeros()
    return terms


def narrowed(source: Rows, target: Rows, alignable: NDArray[np.bool_], classes: int) -> tuple[Rows, Rows, NDArray[np.bool_]]:
    """Return the rows with fewer columns, their principal axes, if a student of this many classes would have many weights."""
    limit = max(MIN_COLUMNS, MAX_WEIGHTS // classes)
    both = np.vstack([source.columns, target.columns])
    if both.shape[1] <= limit:
        return source, target, alignable
    reduced = TruncatedSVD(min(limit, len(both) - 1), random_state=0).fit_transform(both)
    count = len(source)
    return Rows(reduced[:count], source.terms), Rows(reduced[count:], target.terms), np.ones(reduced.shape[1], np.bool_)
