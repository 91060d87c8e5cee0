"""A pretrained encoder's tokenizer, run with the `tokenizers` library only."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from app.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class TokenizerInfo:
    """Properties of the encoder's batches that the tokenizer file lacks."""

    vocabulary_size: int
    max_length: int
    pad_id: int


def copy_tokenizer(pretrained: Path, target: Path, max_length: int) -> TokenizerInfo:
    """Copy `tokenizer.json` of a checkpoint directory. Raise InvalidRequest if it has none."""
    source = pretrained / "tokenizer.json"
    if not source.is_file():
        raise InvalidRequest("The pretrained text encoder has no tokenizer.json.")
    target.write_bytes(source.read_bytes())
    tokenizer = _parsed(source)
    config = _json(pretrained / "config.json")
    longest = [max_length, _longest(config), _json(pretrained / "tokenizer_config.json").get("model_max_length") or max_length]
    pad_id = config.get("pad_token_id")
    if pad_id is None:
        pad_id = (tokenizer.padding or {}).get("pad_id", 0)
    return TokenizerInfo(tokenizer.get_vocab_size(), int(min(longest)), int(pad_id))


def _parsed(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the `tokenizers` library raises a bare Exception
        raise InvalidRequest("The pretrained text encoder has a tokenizer.json that cannot be read.") from error


class TokenizerEncoder:
    """Encoder of texts to ids and an attention mask, padded to the longest text of the batch."""

    def __init__(self, path: Path, max_length: int, pad_id: int) -> None:
        self.tokenizer = Tokenizer.from_file(str(path))
        self.tokenizer.enable_truncation(max_length)
        self.tokenizer.no_padding()
        self.pad_id = pad_id

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return ids and mask, int64 (n, L) each, with L at least 1."""
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        longest = max([1, *map(len, rows)])
        ids = np.full((len(rows), longest), self.pad_id, np.int64)
        mask = np.zeros((len(rows), longest), np.int64)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return ids, mask


def _longest(config: dict[str, int]) -> int:
    """Return the number of positions. RoBERTa and related encoders reserve the first ones for padding."""
    positions = config.get("max_position_embeddings", 1 << 30)
    shifted = str(config.get("model_type")) in {"roberta", "xlm-roberta", "camembert", "longformer", "mpnet"}
    return positions - (config.get("pad_token_id") or 0) - 1 if shifted else positions


def _json(path: Path) -> dict[str, int]:
    try:
        content: dict[str, int] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise InvalidRequest(f"The pretrained text encoder has a {path.name} that is not JSON.") from error
    return content
