from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.algorithms.fine_tune import FineTuneParams
from app.modalities.base import Chunk, Encoded, TensorSpec
from tests.support.toy_problems import CPU
from worker.data import batches
from worker.data.batches import EncodedDataset, PairedBatches, ShuffledSampler, UnknownLabel, encode, split


def numbered(rows: int) -> EncodedDataset:
    """Examples whose input is their own number."""
    return EncodedDataset({"numbers": torch.arange(rows, dtype=torch.float32).unsqueeze(1)}, torch.zeros(rows, dtype=torch.int64))


def make(source: int, target: int | None, size: int = 8, epochs: int = 3, min_steps: int = 0) -> PairedBatches:
    return PairedBatches(
        numbered(source),
        None if target is None else numbered(target),
        train=torch.arange(source),
        params=FineTuneParams(batch_size=size, epochs=epochs, min_steps=min_steps, seed=5),
        device=CPU,
    )


def seen(stream: ShuffledSampler, steps: int) -> list[int]:
    return torch.cat([stream.batch(step) for step in range(steps)]).tolist()


def test_every_pass_holds_every_example_once_in_another_order() -> None:
    drawn = seen(ShuffledSampler(torch.arange(100, 110), 4, seed=0, name=0), 5)
    first, second = drawn[:10], drawn[10:]
    assert sorted(first) == sorted(second) == list(range(100, 110))
    assert first != second


def test_a_batch_may_be_larger_than_the_data() -> None:
    drawn = seen(ShuffledSampler(torch.arange(3), 8, seed=0, name=0), 3)
    assert [drawn.count(number) for number in range(3)] == [8, 8, 8]


def test_any_step_can_be_drawn_without_those_before() -> None:
    stream = ShuffledSampler(torch.arange(50), 16, seed=1, name=0)
    in_order = [stream.batch(step) for step in range(20)]
    assert all(torch.equal(ShuffledSampler(torch.arange(50), 16, 1, 0).batch(step), in_order[step]) for step in (19, 3, 0))


def test_streams_and_seeds_differ() -> None:
    draws = [seen(ShuffledSampler(torch.arange(50), 50, seed, name), 1) for seed, name in ((0, 0), (0, 1), (1, 0))]
    assert draws[0] != draws[1] != draws[2] != draws[0]


@pytest.mark.parametrize(("source", "target", "steps"), [(100, 20, 39), (20, 100, 39), (100, None, 39), (5, 3, 3)])
def test_epochs_are_passes_over_the_larger_data_set(source: int, target: int | None, steps: int) -> None:
    drawn = list(make(source, target).from_step(0))
    assert len(drawn) == make(source, target).steps == steps
    assert all(len(batch.source_y) == 8 for batch in drawn)
    assert all((not batch.target_x) == (target is None) for batch in drawn)
    assert [batch.progress for batch in drawn] == [step / steps for step in range(steps)]


def test_a_run_has_a_least_number_of_steps() -> None:
    assert make(10, 10, min_steps=200).steps == 200
    assert make(1000, 10, min_steps=200).steps == 375


def test_a_resumed_run_goes_on_with_the_next_batch() -> None:
    whole, rest = list(make(30, 50).from_step(0)), list(make(30, 50).from_step(7))
    assert len(rest) == len(whole) - 7
    assert all(
        torch.equal(one.source_x["numbers"], other.source_x["numbers"]) for one, other in zip(whole[7:], rest, strict=True)
    )
    assert rest[0].progress == whole[7].progress


def test_the_split_holds_out_a_part_of_every_class_and_repeats() -> None:
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 2 + [3])
    training, held_out = split(labels, 0.1, seed=0)
    assert sorted([*training.tolist(), *held_out.tolist()]) == list(range(73))
    assert labels[held_out].bincount(minlength=4).tolist() == [5, 2, 1, 0]
    assert torch.equal(split(labels, 0.1, seed=0)[1], held_out)
    assert not torch.equal(split(labels, 0.1, seed=1)[1], held_out)


def chunk(values: list[list[float]], labels: list[str] | None) -> Chunk:
    return Chunk(values, labels, len(values))


def padded(raw: Any) -> Encoded:
    width = max(map(len, raw))
    terms = np.array([row + [0] * (width - len(row)) for row in raw], np.int64)
    return {"terms": terms, "weights": (terms > 0).astype(np.float32)}


VARYING = {"terms": TensorSpec("int64", (-1,)), "weights": TensorSpec("float32", (-1,), marks_padding=True)}


@pytest.mark.parametrize("resident", [2**30, 0])
def test_texts_of_different_lengths_become_one_array_and_batches_are_cut(
    resident: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "IN_MEMORY_BYTES", resident)
    texts = [chunk([[1, 2], [3]], ["b", "a"]), chunk([[4, 5, 6, 7]], ["a"]), chunk([[8]], ["b"])]
    examples = encode(texts, padded, VARYING, 4, ["a", "b"], tmp_path / "mapped")
    assert examples.inputs["terms"].tolist() == [[1, 2, 0, 0], [3, 0, 0, 0], [4, 5, 6, 7], [8, 0, 0, 0]]
    assert examples.labels is not None
    assert examples.labels.tolist() == [1, 0, 0, 1]
    short, _ = examples.gather(torch.tensor([3, 0]), CPU)
    assert short["terms"].tolist() == [[8, 0], [1, 2]]
    assert short["weights"].shape == (2, 2)
    assert (tmp_path / "mapped").exists() == (resident == 0)


@pytest.mark.parametrize("resident", [2**30, 0])
def test_data_that_take_too_much_memory_are_mapped_from_files(
    resident: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "IN_MEMORY_BYTES", resident)
    values = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    specs = {"numbers": TensorSpec("float32", (2,))}

    def encoder(raw: Any) -> Encoded:
        return {"numbers": np.array(raw, np.float32)}

    examples = encode([chunk(values[:2], None), chunk(values[2:], None)], encoder, specs, 3, None, tmp_path / "mapped")
    assert examples.inputs["numbers"].tolist() == values
    assert examples.labels is None
    assert [file.name for file in tmp_path.glob("mapped/*")] == ([] if resident else ["numbers-1.bin"])


def test_a_label_that_is_no_class_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownLabel, match="no class is called 'c'"):
        encode([chunk([[1, 2]], ["c"])], padded, VARYING, 1, ["a", "b"], tmp_path)


def test_labels_of_unlabelled_reading_are_left_out(tmp_path: Path) -> None:
    examples = encode([chunk([[1, 2]], ["?"])], padded, VARYING, 1, None, tmp_path)
    assert examples.labels is None


def test_a_balanced_source_shows_every_class_equally_often() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    source = EncodedDataset({"numbers": torch.zeros(100, 1)}, labels)
    params = FineTuneParams(batch_size=50, epochs=20, class_balanced=True)
    drawn = list(PairedBatches(source, None, train=torch.arange(100), params=params, device=CPU).from_step(0))
    shown = torch.cat([batch.source_y for batch in drawn])
    assert 0.45 < shown.double().mean() < 0.55
