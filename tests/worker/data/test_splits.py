import pytest
import torch

from app.algorithms.base import parse_params
from worker.data.examples import EncodedDataset
from worker.data.splits import DomainData, divided_classes, grouped_split, split_source, stratified_split


def test_split_holds_out_a_part_of_every_class_and_repeats() -> None:
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 2 + [3])
    training, held_out = stratified_split(labels, 0.1, seed=0)
    assert sorted([*training.tolist(), *held_out.tolist()]) == list(range(73))
    assert labels[held_out].bincount(minlength=4).tolist() == [5, 2, 1, 0]
    assert torch.equal(stratified_split(labels, 0.1, seed=0)[1], held_out)
    assert not torch.equal(stratified_split(labels, 0.1, seed=1)[1], held_out)


def divided(labels: torch.Tensor, groups: torch.Tensor, training: torch.Tensor, held_out: torch.Tensor) -> list[int]:
    source = EncodedDataset({"series": torch.zeros(len(labels), 1, 8)}, labels, groups=groups)
    return divided_classes(DomainData(source, training, held_out, None, None))


def test_groups_stay_on_one_side_of_the_split() -> None:
    groups = torch.arange(12).repeat_interleave(10)
    labels = torch.tensor([0, 1, 2]).repeat(40)
    training, held_out = grouped_split(labels, groups, 0.1, seed=0)
    assert len(training) + len(held_out) == 120
    assert not set(groups[training].tolist()) & set(groups[held_out].tolist())
    assert labels[held_out].bincount(minlength=3).min() >= 4
    assert len(held_out) <= 30
    assert torch.equal(grouped_split(labels, groups, 0.1, seed=0)[1], held_out)
    assert not torch.equal(grouped_split(labels, groups, 0.1, seed=1)[1], held_out)
    assert divided(labels, groups, training, held_out) == []


def test_last_examples_of_a_class_with_one_group_are_held_out() -> None:
    groups = torch.tensor([0] * 20 + [1] * 20 + [2] * 20)
    labels = torch.tensor([0] * 40 + [1] * 20)
    training, held_out = grouped_split(labels, groups, 0.1, seed=0)
    assert held_out[labels[held_out] == 1].tolist() == [58, 59]
    assert len(set(groups[held_out[labels[held_out] == 0]].tolist())) == 1
    assert divided(labels, groups, training, held_out) == [1]


def test_classes_keep_training_data_if_no_group_can_be_held_out() -> None:
    groups = torch.tensor([0] * 20 + [1] * 20)
    labels = torch.tensor([0, 1] * 10 + [0, 2] * 10)
    training, held_out = grouped_split(labels, groups, 0.2, seed=0)
    assert set(labels[training].tolist()) == set(labels[held_out].tolist()) == {0, 1, 2}
    assert divided(labels, groups, training, held_out) == [0, 1, 2]


@pytest.mark.parametrize("domains", [2, 100])
def test_many_small_domains_leave_the_usual_part_to_hold_out(domains: int) -> None:
    names = tuple(f"ward {number}" for number in range(domains))
    labels = torch.arange(100) % 2
    source = EncodedDataset({"x": torch.zeros(100, 1)}, labels, domains=torch.arange(100) // 2 % domains, domain_names=names)
    data = split_source(source, None, None, parse_params({"algorithm": "source_only", "validation_fraction": 0.2}))
    assert len(data.held_out) == 20
    assert labels[data.held_out].sum() == 10
