import torch

from worker.data.splits import stratified_split


def test_split_holds_out_a_part_of_every_class_and_repeats() -> None:
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 2 + [3])
    training, held_out = stratified_split(labels, 0.1, seed=0)
    assert sorted([*training.tolist(), *held_out.tolist()]) == list(range(73))
    assert labels[held_out].bincount(minlength=4).tolist() == [5, 2, 1, 0]
    assert torch.equal(stratified_split(labels, 0.1, seed=0)[1], held_out)
    assert not torch.equal(stratified_split(labels, 0.1, seed=1)[1], held_out)
