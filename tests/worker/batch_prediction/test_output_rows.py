"""Logits as rows of an output: columns, ranks, rows without an answer, and the files of the three formats."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from app.schemas.batch_predictions import BatchPredictionOptions, Format
from tests.support.batch_outputs import READERS
from worker.batch_prediction.output_rows import NO_FINITE_RESULT, OutputRows, concatenate_parts, write_part

CLASSES = ["a,b", 'say "c"', "Ünder\nline"]
LOGITS = np.array([[1.0, 3.0, 2.0], [5.0, 5.0, 0.0], [-2.0, -1.0, 4.0]], np.float32)


def answers(threshold: float = 0.0, **options: object) -> OutputRows:
    return OutputRows(CLASSES, threshold, BatchPredictionOptions.model_validate(options))


def test_without_options_a_row_has_its_number_its_label_and_its_confidence() -> None:
    frame = answers().from_logits(11, LOGITS)
    assert frame.columns == ["row", "label", "confidence", "abstained", "error"]
    assert frame["row"].to_list() == [11, 12, 13]
    assert frame["label"].to_list() == ['say "c"', "a,b", "Ünder\nline"]
    expected = np.exp(LOGITS.astype(np.float64))
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.allclose(frame["confidence"].to_numpy(), expected.max(axis=1), atol=1e-6)


def test_top_k_ranks_the_classes_and_stops_at_as_many_as_there_are() -> None:
    frame = answers(top_k=9).from_logits(1, LOGITS)
    ranked = ["label_2", "confidence_2", "label_3", "confidence_3"]
    assert frame.columns == ["row", "label", "confidence", "abstained", *ranked, "error"]
    assert frame.select("^label.*$").row(0) == ('say "c"', "Ünder\nline", "a,b")
    confidences = frame.select("^confidence.*$").to_numpy()
    assert (np.diff(confidences, axis=1) <= 0).all()
    assert np.allclose(confidences.sum(axis=1), 1)


def test_the_model_abstains_where_its_confidence_is_below_the_threshold() -> None:
    frame = answers().from_logits(1, LOGITS)
    least = float(frame["confidence"].min())  # type: ignore[arg-type]
    assert frame["abstained"].to_list() == [False, False, False]
    assert answers(least).from_logits(1, LOGITS)["abstained"].to_list() == [False, False, False]
    assert answers(least + 1e-6).from_logits(1, LOGITS)["abstained"].to_list() == [False, True, False]


def test_the_schema_is_that_of_the_frames() -> None:
    for made in (answers(), answers(top_k=2), answers(top_k=3, probabilities=True)):
        assert made.from_logits(1, LOGITS).schema == made.schema
        assert made.failed_row(1, "why").schema == made.schema


def test_a_row_without_a_finite_answer_has_an_error_and_its_neighbours_have_theirs() -> None:
    logits = LOGITS.copy()
    logits[1] = [np.nan, 1, np.inf]
    frame = answers(top_k=2, probabilities=True).from_logits(1, logits)
    assert frame["error"].to_list() == [None, NO_FINITE_RESULT, None]
    assert set(frame.row(1)[1:-1]) == {None}
    whole = answers(top_k=2, probabilities=True).from_logits(1, LOGITS)
    assert frame[[0, 2]].drop("error").equals(whole[[0, 2]].drop("error"))


def test_logits_of_any_size_give_probabilities() -> None:
    logits = np.array([[3e38, -3e38, -3e38], [0, 1e-30, -3e38]], np.float32)
    frame = answers(probabilities=True).from_logits(1, logits)
    columns = [name for name in frame.columns if name.startswith("probability_")]
    assert np.allclose(frame[columns].to_numpy(), np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]))


@pytest.mark.parametrize("format", READERS)
def test_parts_become_one_file_with_every_row_in_order(tmp_path: Path, format: Format) -> None:
    made = answers(top_k=2)
    frames = [made.from_logits(1, LOGITS), made.failed_row(4, 'bad, "really"'), made.from_logits(5, LOGITS[::-1])]
    parts = [tmp_path / f"part-{number}" for number in range(len(frames))]
    for frame, part in zip(frames, parts, strict=True):
        write_part(frame, part, format)
    concatenate_parts(parts, made.schema, tmp_path / "whole", format)
    assert READERS[format](tmp_path / "whole").cast(made.schema).equals(pl.concat(frames))
