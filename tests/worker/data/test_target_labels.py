"""Labelled target rows join the source's training rows, at the share that the parameters ask for."""

import torch

from tests.support.job_bench import FINE_TUNE, Bench, bench, digits
from tests.support.toy_problems import table, toy_params
from worker.data.job_inputs import StoredDataset
from worker.data.splits import split_source
from worker.data.target_labels import TargetLabels, learn_target_labels, read_target_labels

__all__ = ["bench"]  # the fixture


def test_labelled_rows_take_their_share_of_the_source_batches() -> None:
    source, target = table(200, 3, target=False), table(100, 3, target=True)
    data = split_source(source, target, None, toy_params("fine_tune"))
    labels = TargetLabels(torch.tensor([4, 9]), torch.tensor([1, 2]))
    mixed = learn_target_labels(data, labels, 0.25)
    added = mixed.training[len(data.training) :]
    assert set(added.tolist()) == {200, 201}
    assert abs(len(added) / len(mixed.training) - 0.25) < 0.01
    assert mixed.source is not None
    assert mixed.source.labels is not None
    assert mixed.source.labels[200:].tolist() == [1, 2]
    assert torch.equal(mixed.source.inputs["numbers"][200:], target.inputs["numbers"][[4, 9]])
    assert torch.equal(mixed.held_out, data.held_out)
    assert mixed.learned_target.tolist() == [4, 9]
    assert learn_target_labels(data, TargetLabels(torch.empty(0, dtype=torch.int64), torch.empty(0)), 0.25) is data


def test_labels_come_from_the_file_and_from_answers_except_for_measured_rows(bench: Bench) -> None:
    target = digits(bench, target=True, rows=50)
    given = {"rows": [1, 2], "labels": ["7", "unknown"], "measured": [3]}
    context = bench.context(bench.job(FINE_TUNE, digits(bench, target=False), target, target_labels=given))
    labels = read_target_labels(context, StoredDataset(target, bench.storage), [str(digit) for digit in range(10)])
    assert labels.positions.tolist() == [0, *range(3, 50)]
    assert labels.classes[0] == 7
