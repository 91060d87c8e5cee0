"""Which precision is quicker, with times that are given."""

from collections.abc import Iterator

import pytest
import torch

from worker.training import mixed_precision

HAS, HAS_NOT = {"avx512_bf16": True, "amx_bf16": False}, {"avx512_bf16": False}


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    mixed_precision.is_faster.cache_clear()
    yield
    mixed_precision.is_faster.cache_clear()


@pytest.mark.parametrize(("seconds", "quicker"), [(0.6, True), (0.95, False), (1.8, False)])
def test_the_quicker_one_is_found_by_the_best_of_several_turns(
    monkeypatch: pytest.MonkeyPatch, seconds: float, quicker: bool
) -> None:
    noise = iter([5.0, 5.0, *[3.0] * 8, 1.0, seconds])
    monkeypatch.setattr(mixed_precision, "_convolve", lambda half: next(noise))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: HAS)
    assert mixed_precision.is_faster() is quicker
    assert mixed_precision.is_faster() is quicker  # known by now


def test_without_instructions_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: HAS_NOT)
    monkeypatch.delattr(mixed_precision, "_convolve")
    assert not mixed_precision.is_faster()


def test_the_measurement_leaves_no_trace() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with torch.no_grad():
        assert mixed_precision._convolve(half=False) > 0
        assert mixed_precision._convolve(half=True) > 0
    assert torch.equal(torch.rand(4), expected)
