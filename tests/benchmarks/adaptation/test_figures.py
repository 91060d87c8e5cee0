"""Tests of the figures that are computed from measured rows."""

import math

import polars as pl
import pytest

from benchmarks.adaptation.figures import correlation, select_check


def checks(scores: list[float], truth: list[float], **columns: object) -> pl.DataFrame:
    table = pl.DataFrame({"entropy": scores, "target_accuracy": truth}, schema_overrides={"entropy": pl.Float64})
    common = {"arm": "mcc", "healthy": True, "source_accuracy": 0.9, "held_out_rows": 1000} | columns
    return table.with_columns(**{name: pl.lit(value) for name, value in common.items()})


def test_score_in_the_order_of_the_truth_correlates() -> None:
    assert correlation(checks([1, 2, 3], [0.1, 0.5, 0.6]), "entropy") == pytest.approx(1)


def test_constant_score_has_no_correlation() -> None:
    assert correlation(checks([1, 1, 1], [0.1, 0.5, 0.6]), "entropy") == 0


def test_missing_score_has_no_correlation() -> None:
    assert math.isnan(correlation(checks([math.nan] * 3, [0.1, 0.5, 0.6]), "entropy"))


REFERENCE = checks([0.5], [0.7], arm="source_only")


def test_check_with_the_best_score_is_picked() -> None:
    assert select_check(checks([0.6, 0.9], [0.9, 0.8]), REFERENCE, "entropy")["target_accuracy"] == 0.8


def test_network_with_low_source_accuracy_is_not_picked() -> None:
    assert select_check(checks([0.9], [0.9], source_accuracy=0.8), REFERENCE, "entropy")["arm"] == "source_only"


def test_source_only_is_selected_without_a_better_score() -> None:
    assert select_check(checks([0.5, math.nan], [0.9, 0.9]), REFERENCE, "entropy")["arm"] == "source_only"
