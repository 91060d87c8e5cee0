import torch

from worker.augmentation import RandomAffine


def pictures(count: int = 400) -> torch.Tensor:
    """A bright square in the middle."""
    batch = torch.zeros(count, 1, 16, 16)
    batch[:, :, 4:12, 4:12] = 1
    return batch


def test_every_picture_is_moved_in_its_own_way() -> None:
    torch.manual_seed(0)
    moved = RandomAffine(0.3)(pictures())
    assert moved.shape == (400, 1, 16, 16)
    assert moved.is_contiguous(memory_format=torch.channels_last)
    assert not torch.allclose(moved[0], moved[1], atol=0.1)
    areas = moved.sum((1, 2, 3)) / 64
    assert 0.3 < areas.min() < 0.8
    assert 1.3 < areas.max() < 3


def test_nothing_moves_in_evaluation_or_without_strength() -> None:
    assert torch.equal(RandomAffine(0.3).eval()(pictures()), pictures())
    assert torch.equal(RandomAffine(0.0)(pictures()), pictures())


def test_the_border_goes_on_outside() -> None:
    assert torch.allclose(RandomAffine(1.0)(torch.ones(50, 3, 8, 8)), torch.ones(50, 3, 8, 8), atol=1e-5)
