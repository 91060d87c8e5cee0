import pytest
import torch

from app.algorithms.dann import DannParams
from app.algorithms.self_training import SelfTrainingParams
from app.modalities.base import Augmentable
from worker.components.augmentation import affine, augment, augment_batch, photometric
from worker.data.batch import Batch

IMAGES: dict[str, Augmentable] = {"pixels": "image"}


def images(count: int = 400) -> torch.Tensor:
    """Return images with a bright square in the middle."""
    batch = torch.zeros(count, 16, 16, 1)
    batch[:, 4:12, 4:12] = 200
    return batch


def test_affine_transforms_every_image_independently() -> None:
    torch.manual_seed(0)
    moved = affine(images(), 0.3)
    assert moved.shape == (400, 16, 16, 1)
    assert moved.is_contiguous()
    assert not torch.allclose(moved[0], moved[1], atol=20)
    areas = moved.sum((1, 2, 3)) / 200 / 64
    assert 0.3 < areas.min() < 0.8
    assert 1.3 < areas.max() < 3


def test_affine_repeats_the_border_outside() -> None:
    assert torch.allclose(affine(torch.ones(50, 8, 8, 3), 1.0), torch.ones(50, 8, 8, 3), atol=1e-5)


def test_photometric_keeps_the_value_range_and_varies() -> None:
    torch.manual_seed(0)
    strong = photometric(images().expand(-1, -1, -1, 3))
    assert strong.shape == (400, 16, 16, 3)
    assert strong.min() >= 0
    assert strong.max() <= 255
    contrast = strong[:, 8, 8].mean(1) - strong[:, 1, 1].mean(1)
    assert (contrast < -50).float().mean() > 0.1  # inverted images
    assert (contrast > 50).float().mean() > 0.3
    assert ((strong == 127.5).all(-1).sum((1, 2)) >= 9).float().mean() > 0.4  # cut-out squares


@pytest.mark.parametrize("augmentation", ["none", "affine", "strong"])
@pytest.mark.parametrize("domains", ["source", "both"])
def test_parameters_select_the_augmented_domains(augmentation: str, domains: str) -> None:
    batch = Batch({"pixels": images(8).byte()}, torch.zeros(8), {"pixels": images(8).byte()}, 0.5, IMAGES)
    params = DannParams.model_validate({"augmentation": augmentation, "augment_domains": domains})
    augmented = augment_batch(batch, params)
    for before, after, is_changed in (
        (batch.source_x, augmented.source_x, augmentation != "none"),
        (batch.target_x, augmented.target_x, augmentation != "none" and domains == "both"),
    ):
        assert torch.equal(before["pixels"].float(), after["pixels"].float()) != is_changed
    assert batch.source_x["pixels"].dtype == torch.uint8


def test_target_is_unchanged_if_the_algorithm_augments_it() -> None:
    batch = Batch({"pixels": images(8).byte()}, torch.zeros(8), {"pixels": images(8).byte()}, 0.5, IMAGES)
    augmented = augment_batch(batch, SelfTrainingParams(augmentation="strong", augment_domains="both"))
    assert augmented.target_x is batch.target_x
    assert not torch.equal(augmented.source_x["pixels"], batch.source_x["pixels"].float())


def test_other_inputs_are_not_augmented() -> None:
    numbers = {"numbers": torch.ones(3, 2)}
    assert augment(numbers, IMAGES, "strong") == numbers


def waves() -> torch.Tensor:
    """Return sine waves (n, channels, time) around 5."""
    return 5 + torch.sin(torch.linspace(0, 12, 64)).expand(200, 2, 64)


def test_series_are_scaled_and_shifted_independently() -> None:
    torch.manual_seed(0)
    moved = augment({"series": waves()}, {"series": "series"}, "affine")["series"]
    assert moved.shape == (200, 2, 64)
    assert not torch.equal(moved[0], moved[1])
    deviations = moved.std(2)[:, 0]
    assert deviations.min() < 0.55
    assert deviations.max() > 0.85
    assert moved.mean().item() == pytest.approx(5, abs=0.1)
    assert torch.allclose(moved[:, 0], moved[:, 1], atol=1e-5)  # the channels stay aligned


def test_strong_augmentation_distorts_channels_and_masks_an_interval() -> None:
    torch.manual_seed(0)
    distorted = augment({"series": waves()}, {"series": "series"}, "strong")["series"]
    assert not torch.allclose(distorted[:, 0], distorted[:, 1], atol=0.05)
    steps = distorted.diff(dim=2).abs()
    assert ((steps < 1e-4).sum(2) >= 6).all(1).float().mean() > 0.5  # the masked interval is constant


def test_missing_values_of_a_channel_stay_missing() -> None:
    series = waves().clone()
    series[:, 1] = torch.nan
    distorted = augment({"series": series}, {"series": "series"}, "strong")["series"]
    assert distorted[:, 1].isnan().all()
    assert distorted[:, 0].isfinite().all()
