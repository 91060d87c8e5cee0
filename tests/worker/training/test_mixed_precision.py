"""The precision of training, with given times."""

from collections.abc import Iterator
from itertools import cycle

import pytest
import torch

from app.algorithms.fine_tune import FineTuneParams
from tests.support.toy_problems import CPU, image_network, table_network
from worker.networks.base import Network
from worker.training import mixed_precision
from worker.training.mixed_precision import decide_precision, resolve_precision

SUPPORTED, UNSUPPORTED = {"avx512_bf16": True, "amx_bf16": False}, {"avx512_bf16": False}
GPU = torch.device("cuda")
AUTO = FineTuneParams()


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    mixed_precision.is_faster.cache_clear()
    yield
    mixed_precision.is_faster.cache_clear()


def convolutions() -> Network:
    return image_network(2)


def tables() -> Network:
    return table_network(2)


@pytest.mark.parametrize(("seconds", "expected"), [(0.6, True), (0.95, False), (1.8, False)])
def test_median_ratio_decides_despite_outliers(monkeypatch: pytest.MonkeyPatch, seconds: float, expected: bool) -> None:
    disturbed = iter([50.0, 0.01, seconds, 9.0, 0.01 * seconds, 0.01, 9 * seconds, 9.0])
    rest = cycle([seconds, 1.0])
    monkeypatch.setattr(mixed_precision, "_convolve", lambda bfloat16: next(disturbed, None) or next(rest))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: SUPPORTED)
    assert mixed_precision.is_faster() is expected
    monkeypatch.delattr(mixed_precision, "_convolve")
    assert mixed_precision.is_faster() is expected  # measured once


def test_processor_without_instructions_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: UNSUPPORTED)
    monkeypatch.delattr(mixed_precision, "_convolve")
    assert not mixed_precision.is_faster()


def test_measurement_draws_no_random_numbers_and_restores_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: SUPPORTED)
    monkeypatch.setattr(mixed_precision, "REPEATS", 1)
    threads = torch.get_num_threads()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with torch.no_grad():
        mixed_precision.is_faster()
    assert torch.equal(torch.rand(4), expected)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("is_faster", [True, False])
def test_auto_is_bfloat16_for_dense_networks_where_faster(is_faster: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed_precision, "is_faster", lambda: is_faster)
    assert decide_precision(AUTO, GPU, tables) == "bfloat16"
    assert decide_precision(AUTO, CPU, convolutions) == ("bfloat16" if is_faster else "float32")
    assert decide_precision(AUTO, CPU, tables) == "float32"


def test_explicit_precision_overrides_device_and_decision() -> None:
    assert decide_precision(FineTuneParams(precision="float32"), GPU, tables) == "float32"
    assert resolve_precision(FineTuneParams(precision="float32"), "bfloat16") == "float32"
    assert resolve_precision(FineTuneParams(precision="bfloat16"), "float32") == "bfloat16"
    assert resolve_precision(AUTO, "bfloat16") == "bfloat16"
