"""Inputs of a job."""

import pytest

from app.db.tables import DatasetRow
from app.storage import Storage
from worker.data.job_inputs import JobInputs, StoredDataset


@pytest.mark.parametrize(
    ("names", "classes"),
    [(["10", "2", "1"], ["1", "2", "10"]), (["b10", "b2"], ["b10", "b2"]), (["10", "2", "a"], ["10", "2", "a"])],
)
def test_classes_are_numbered_in_numeric_order_when_all_are_numbers(names: list[str], classes: list[str]) -> None:
    source = DatasetRow(classes=dict.fromkeys(names, 1))
    assert JobInputs(StoredDataset(source, Storage("memory://")), None, None, None).classes == classes
