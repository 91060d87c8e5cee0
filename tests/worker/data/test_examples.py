from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.modalities.base import Chunk, Encoded, TensorSpec
from tests.support.toy_problems import CPU
from worker.data import examples as examples_module
from worker.data.examples import UnknownLabelError, encode


def chunk(values: list[list[float]], labels: list[str] | None) -> Chunk:
    return Chunk(values, labels, len(values))


def padded(raw: Any) -> Encoded:
    width = max(map(len, raw))
    terms = np.array([row + [0] * (width - len(row)) for row in raw], np.int64)
    return {"terms": terms, "weights": (terms > 0).astype(np.float32)}


VARYING = {"terms": TensorSpec("int64", (-1,)), "weights": TensorSpec("float32", (-1,), marks_padding=True)}


@pytest.mark.parametrize("memory_limit", [2**30, 0])
def test_texts_are_padded_and_batches_cut_to_their_longest(
    memory_limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples_module, "IN_MEMORY_BYTES", memory_limit)
    texts = [chunk([[1, 2], [3]], ["b", "a"]), chunk([[4, 5, 6, 7]], ["a"]), chunk([[8]], ["b"])]
    examples = encode(texts, padded, VARYING, 4, ["a", "b"], tmp_path / "mapped")
    assert examples.inputs["terms"].tolist() == [[1, 2, 0, 0], [3, 0, 0, 0], [4, 5, 6, 7], [8, 0, 0, 0]]
    assert examples.labels is not None
    assert examples.labels.tolist() == [1, 0, 0, 1]
    short, _ = examples.gather(torch.tensor([3, 0]), CPU)
    assert short["terms"].tolist() == [[8, 0], [1, 2]]
    assert short["weights"].shape == (2, 2)
    assert (tmp_path / "mapped").exists() == (memory_limit == 0)


@pytest.mark.parametrize("memory_limit", [2**30, 0])
def test_large_dataset_is_mapped_from_files(memory_limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples_module, "IN_MEMORY_BYTES", memory_limit)
    values = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    specs = {"numbers": TensorSpec("float32", (2,))}

    def encoder(raw: Any) -> Encoded:
        return {"numbers": np.array(raw, np.float32)}

    examples = encode([chunk(values[:2], None), chunk(values[2:], None)], encoder, specs, 3, None, tmp_path / "mapped")
    assert examples.inputs["numbers"].tolist() == values
    assert examples.labels is None
    assert [file.name for file in tmp_path.glob("mapped/*")] == ([] if memory_limit else ["numbers-1.bin"])


def test_unknown_label_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownLabelError, match="there is no class 'c'"):
        encode([chunk([[1, 2]], ["c"])], padded, VARYING, 1, ["a", "b"], tmp_path)


def test_labels_are_left_out_without_classes(tmp_path: Path) -> None:
    examples = encode([chunk([[1, 2]], ["?"])], padded, VARYING, 1, None, tmp_path)
    assert examples.labels is None


def test_examples_without_a_label_are_left_out(tmp_path: Path) -> None:
    texts = [Chunk([[1, 2], [3]], ["b", None], 2, groups=["p", "q"]), Chunk([[4], [5]], ["", "a"], 2, groups=["q", "r"])]
    examples = encode(texts, padded, VARYING, 4, ["a", "b"], tmp_path / "mapped")
    assert examples.labels is not None
    assert examples.groups is not None
    assert (examples.inputs["terms"].tolist(), examples.labels.tolist()) == ([[1, 2], [5, 0]], [1, 0])
    assert (len(examples), examples.groups.tolist()) == (2, [0, 2])
    assert len(encode(texts, padded, VARYING, 4, None, tmp_path / "mapped")) == 4
