"""Logits as rows of an output: columns, ranks, failed rows, and files of all formats."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from app.schemas.batch_predictions import BatchPredictionOptions, Format
from tests.support.batch_outputs import READERS
from worker.batch_prediction.output_rows import NO_FINITE_RESULT, OutputRows, concatenate_parts, write_part

CLASSES = ["a,b", 'say "c"', "Ünder\nline"]
LOGITS = np.array([[1.0, 3.0, 2.0], [5.0, 5.0, 0.0], [-2.0, -1.0, 4.0]], np.float32)


def output_rows(threshold: float = 0.0, **options: object) -> OutputRows:
    return OutputRows(CLASSES, threshold, BatchPredictionOptions.model_validate(options))


def test_default_columns_are_row_label_confidence_abstained_and_error() -> None:
    frame = output_rows().from_logits(11, LOGITS)
    assert frame.columns == ["row", "label", "confidence", "abstained", "error"]
    assert frame["row"].to_list() == [11, 12, 13]
    assert frame["label"].to_list() == ['say "c"', "a,b", "Ünder\nline"]
    expected = np.exp(LOGITS.astype(np.float64))
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.allclose(frame["confidence"].to_numpy(), expected.max(axis=1), atol=1e-6)


def test_top_k_ranks_at_most_all_classes() -> None:
    frame = output_rows(top_k=9).from_logits(1, LOGITS)
    ranked = ["label_2", "confidence_2", "label_3", "confidence_3"]
    assert frame.columns == ["row", "label", "confidence", "abstained", *ranked, "error"]
    assert frame.select("^label.*$").row(0) == ('say "c"', "Ünder\nline", "a,b")
    confidences = frame.select("^confidence.*$").to_numpy()
    assert (np.diff(confidences, axis=1) <= 0).all()
    assert np.allclose(confidences.sum(axis=1), 1)


def test_row_is_abstained_below_the_confidence_threshold() -> None:
    frame = output_rows().from_logits(1, LOGITS)
    lowest = float(frame["confidence"].min())  # type: ignore[arg-type]
    assert frame["abstained"].to_list() == [False, False, False]
    assert output_rows(lowest).from_logits(1, LOGITS)["abstained"].to_list() == [False, False, False]
    assert output_rows(lowest + 1e-6).from_logits(1, LOGITS)["abstained"].to_list() == [False, True, False]


def test_schema_equals_the_schema_of_frames() -> None:
    for builder in (output_rows(), output_rows(top_k=2), output_rows(top_k=3, probabilities=True)):
        assert builder.from_logits(1, LOGITS).schema == builder.schema
        assert builder.failed_row(1, "why").schema == builder.schema


def test_row_with_infinite_logits_fails_without_changing_other_rows() -> None:
    logits = LOGITS.copy()
    logits[1] = [np.nan, 1, np.inf]
    frame = output_rows(top_k=2, probabilities=True).from_logits(1, logits)
    assert frame["error"].to_list() == [None, NO_FINITE_RESULT, None]
    assert set(frame.row(1)[1:-1]) == {None}
    whole = output_rows(top_k=2, probabilities=True).from_logits(1, LOGITS)
    assert frame[[0, 2]].drop("error").equals(whole[[0, 2]].drop("error"))


def test_extreme_logits_give_valid_probabilities() -> None:
    logits = np.array([[3e38, -3e38, -3e38], [0, 1e-30, -3e38]], np.float32)
    frame = output_rows(probabilities=True).from_logits(1, logits)
    columns = [name for name in frame.columns if name.startswith("probability_")]
    assert np.allclose(frame[columns].to_numpy(), np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]))


@pytest.mark.parametrize("format", READERS)
def test_concatenated_parts_have_every_row_in_order(tmp_path: Path, format: Format) -> None:
    builder = output_rows(top_k=2)
    frames = [builder.from_logits(1, LOGITS), builder.failed_row(4, 'bad, "really"'), builder.from_logits(5, LOGITS[::-1])]
    parts = [tmp_path / f"part-{number}" for number in range(len(frames))]
    for frame, part in zip(frames, parts, strict=True):
        write_part(frame, part, format)
    concatenate_parts(parts, builder.schema, tmp_path / "whole", format)
    assert READERS[format](tmp_path / "whole").cast(builder.schema).equals(pl.concat(frames))
