"""Frozen backbones: their features replace the inputs, and training changes neither weights nor statistics."""

import json
import time

import pytest
import torch
from transformers import ResNetConfig

from app.algorithms import PARAMS
from app.encoders.catalogue import PretrainedEncoder, known
from app.encoders.downloads import DownloadError, download
from app.modalities import MODALITIES
from app.networks.transformers import TransformersParams
from tests.support.pretrained_encoders import ENCODERS, IMAGES, pixels
from worker import networks
from worker.data.examples import EncodedDataset
from worker.data.splits import split_source
from worker.networks.base import FEATURES, FrozenBackbone, Network, batch_norms
from worker.networks.catalogue_files import catalogue_folder
from worker.protocol.progress import BadParameters
from worker.training import plain_models


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    config = ENCODERS["image-resnet"]
    assert isinstance(config, ResNetConfig)
    params = TransformersParams(pretrained="no-owner/nothing", frozen=True, config=json.loads(config.to_json_string()))
    return networks.build(params, IMAGES, MODALITIES["image"].specs(IMAGES), 3)


def test_cached_features_give_the_same_logits(network: Network) -> None:
    network.eval()
    features = network.backbone(pixels_ := pixels())
    assert torch.equal(network({FEATURES: features}), network(pixels_))


def test_training_changes_only_bottleneck_and_head(network: Network) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), 0.1)
    network(pixels()).square().mean().backward()
    optimizer.step()
    changed = {name.split(".")[0] for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"bottleneck", "head"}
    assert network.blocks() == [network.bottleneck, network.head]
    assert not set(batch_norms(network)) & set(network.backbone.modules())
    assert isinstance(network.backbone, FrozenBackbone)
    assert not network.is_dense


def test_plain_methods_fit_the_features_of_a_frozen_backbone() -> None:
    config = ENCODERS["image-resnet"]
    assert isinstance(config, ResNetConfig)
    values = {"frozen": True, "head": "aligned", "config": json.loads(config.to_json_string())}
    params = TransformersParams(pretrained="no-owner/nothing", **values)
    network = networks.build(params, IMAGES, MODALITIES["image"].specs(IMAGES), 3)
    random, width = torch.Generator().manual_seed(0), network.feature_width
    centres, labels = 5 * torch.randn((3, width), generator=random), torch.arange(90) % 3
    source, target = (
        EncodedDataset({FEATURES: centres[labels] + torch.randn((90, width), generator=random) + shift}, labels)
        for shift in (0, 30)
    )
    coral = PARAMS["coral"].model_validate({"algorithm": "coral"})
    plain_models.fit(coral, network, split_source(source, target, None, coral), 3)
    assert (network(target.inputs).argmax(1) == labels).float().mean() > 0.95
    with network.source_statistics():
        assert (network(source.inputs).argmax(1) == labels).float().mean() > 0.95
    assert network.eval()(pixels()).shape == (len(pixels()["pixels"]), 3)


def test_installed_encoder_has_a_checkpoint_for_large_images() -> None:
    encoder = known("efficientnet-lite0")
    assert encoder is not None
    processor = json.loads((catalogue_folder(encoder) / "preprocessor_config.json").read_text())
    assert processor["size"] == {"height": 224, "width": 224}


def test_missing_encoder_names_the_command() -> None:
    missing = PretrainedEncoder("absent", "image", "fast", 1, "MIT", package="no_such_package")
    with pytest.raises(BadParameters, match="isthmus encoders pull absent"):
        catalogue_folder(missing)


def test_unreachable_hub_is_reported_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(DownloadError, match="the Hub cannot be reached"):
        download("owner/nothing", 10**6)
    assert time.monotonic() - started < 10
