"""Which precision is quicker, with times that are given."""

from collections.abc import Iterator

import pytest
import torch

from worker.training import mixed_precision as bfloat16

HAS, HAS_NOT = {"avx512_bf16": True, "amx_bf16": False}, {"avx512_bf16": False}


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    bfloat16.is_quicker.cache_clear()
    yield
    bfloat16.is_quicker.cache_clear()


@pytest.mark.parametrize(("seconds", "quicker"), [(0.6, True), (0.95, False), (1.8, False)])
def test_the_quicker_one_is_found_by_the_best_of_several_turns(
    monkeypatch: pytest.MonkeyPatch, seconds: float, quicker: bool
) -> None:
    noise = iter([5.0, 5.0, *[3.0] * 8, 1.0, seconds])
    monkeypatch.setattr(bfloat16, "_convolve", lambda half: next(noise))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: HAS)
    assert bfloat16.is_quicker() is quicker
    assert bfloat16.is_quicker() is quicker  # known by now


def test_without_instructions_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: HAS_NOT)
    monkeypatch.delattr(bfloat16, "_convolve")
    assert not bfloat16.is_quicker()


def test_the_measurement_leaves_no_trace() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with torch.no_grad():
        assert bfloat16._convolve(half=False) > 0
        assert bfloat16._convolve(half=True) > 0
    assert torch.equal(torch.rand(4), expected)
