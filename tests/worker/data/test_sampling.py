import pytest
import torch

from app.algorithms.fine_tune import FineTuneParams
from tests.support.toy_problems import CPU
from worker.data.examples import EncodedDataset
from worker.data.sampling import PairedBatches, ShuffledSampler


def numbered(rows: int) -> EncodedDataset:
    """Return examples whose input is their own number."""
    return EncodedDataset({"numbers": torch.arange(rows, dtype=torch.float32).unsqueeze(1)}, torch.zeros(rows, dtype=torch.int64))


def make(source: int, target: int | None, size: int = 8, epochs: int = 3, min_steps: int = 0) -> PairedBatches:
    return PairedBatches(
        numbered(source),
        None if target is None else numbered(target),
        train=torch.arange(source),
        params=FineTuneParams(batch_size=size, epochs=epochs, min_steps=min_steps, seed=5),
        device=CPU,
    )


def drawn_indices(sampler: ShuffledSampler, steps: int) -> list[int]:
    return torch.cat([sampler.batch(step) for step in range(steps)]).tolist()


def test_every_pass_draws_every_example_once_in_another_order() -> None:
    drawn = drawn_indices(ShuffledSampler(torch.arange(100, 110), 4, seed=0, domain=0), 5)
    first, second = drawn[:10], drawn[10:]
    assert sorted(first) == sorted(second) == list(range(100, 110))
    assert first != second


def test_batch_may_be_larger_than_the_dataset() -> None:
    drawn = drawn_indices(ShuffledSampler(torch.arange(3), 8, seed=0, domain=0), 3)
    assert [drawn.count(number) for number in range(3)] == [8, 8, 8]


def test_any_step_can_be_drawn_without_earlier_steps() -> None:
    sampler = ShuffledSampler(torch.arange(50), 16, seed=1, domain=0)
    in_order = [sampler.batch(step) for step in range(20)]
    assert all(torch.equal(ShuffledSampler(torch.arange(50), 16, 1, 0).batch(step), in_order[step]) for step in (19, 3, 0))


def test_domains_and_seeds_have_different_orders() -> None:
    draws = [drawn_indices(ShuffledSampler(torch.arange(50), 50, seed, domain), 1) for seed, domain in ((0, 0), (0, 1), (1, 0))]
    assert draws[0] != draws[1] != draws[2] != draws[0]


@pytest.mark.parametrize(("source", "target", "steps"), [(100, 20, 39), (20, 100, 39), (100, None, 39), (5, 3, 3)])
def test_epochs_are_passes_over_the_larger_dataset(source: int, target: int | None, steps: int) -> None:
    drawn = list(make(source, target).from_step(0))
    assert len(drawn) == make(source, target).steps == steps
    assert all(len(batch.source_y) == 8 for batch in drawn)
    assert all((not batch.target_x) == (target is None) for batch in drawn)
    assert [batch.progress for batch in drawn] == [step / steps for step in range(steps)]


def test_run_has_at_least_min_steps() -> None:
    assert make(10, 10, min_steps=200).steps == 200
    assert make(1000, 10, min_steps=200).steps == 375


def test_resumed_run_continues_with_the_next_batch() -> None:
    whole, rest = list(make(30, 50).from_step(0)), list(make(30, 50).from_step(7))
    assert len(rest) == len(whole) - 7
    assert all(
        torch.equal(one.source_x["numbers"], other.source_x["numbers"]) for one, other in zip(whole[7:], rest, strict=True)
    )
    assert rest[0].progress == whole[7].progress


def test_class_balanced_source_draws_every_class_equally_often() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    source = EncodedDataset({"numbers": torch.zeros(100, 1)}, labels)
    params = FineTuneParams(batch_size=50, epochs=20, class_balanced=True)
    drawn = list(PairedBatches(source, None, train=torch.arange(100), params=params, device=CPU).from_step(0))
    shown = torch.cat([batch.source_y for batch in drawn])
    assert 0.45 < shown.double().mean() < 0.55
