"""Texts. Raw inputs are lists of strings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from app.errors import FieldError, InvalidInputs, InvalidRequest
from app.formats import text_columns
from app.formats.class_labels import ClassCounter
from app.formats.delimited import Delimiter
from app.formats.text_columns import Columns
from app.formats.validation import LIMIT, ErrorCollector, encodable, pointer
from app.modalities.base import (
    Chunk,
    DatasetFile,
    DatasetOptions,
    Encoded,
    Encoder,
    FastEncoder,
    Modality,
    Preprocessing,
    Profile,
    TensorSpec,
    fast_json_encoder,
)
from app.networks.base import NetworkParams
from app.preprocessing.tfidf import DocumentFrequencies, TfidfVectorizer
from app.preprocessing.tokenizer import TokenizerEncoder, copy_tokenizer

VOCABULARY = "vocabulary.json"
TOKENIZER = "tokenizer.json"
MAX_TERMS_A_TEXT = 1024
DEFAULT_TOKENS = 512
SHOWN_CHARACTERS = 1000
FAST_CHARACTERS = 4000

Name = Annotated[str, Field(min_length=1, max_length=200)]


class TextOptions(DatasetOptions):
    """How to read texts."""

    text: Name | None = Field(None, description="The column with the texts. By default `text`, or the only one beside the label.")
    label: Name | None = Field(None, description="The column with the labels. By default `label`, when there is one.")
    delimiter: Delimiter = Field(",", description="What separates the cells of a CSV.")


class TextPreprocessing(Preprocessing):
    """`terms`: TF-IDF over the terms in the file; `tokens`: the tokenizer in the file."""

    modality: Literal["text"] = "text"
    kind: Literal["terms", "tokens"]
    vocabulary_size: int = Field(description="Ids are below this number.")
    max_length: int = Field(description="Most terms or tokens of one text.")
    pad_id: int = 0


class Text(Modality):
    """CSV, JSON lines and Parquet with a column of texts."""

    name = "text"
    suffixes: ClassVar[Mapping[str, str]] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
    options = TextOptions
    preprocessing = TextPreprocessing
    raw_tensor = "text"

    def can_read(self, path: Path, format: str, options: DatasetOptions) -> bool:
        """With a column `text`, or a single column of text beside the label."""
        return text_columns.looks_like_text(path, format, _columns(options))

    def check(self, path: Path, format: str, options: DatasetOptions) -> Profile:
        columns = text_columns.resolve(path, format, _columns(options))
        labels, places = ClassCounter(pointer("columns", columns.label or "")), ErrorCollector()
        count = characters = longest = 0
        for found, names in text_columns.read(path, format, columns, 1024, places):
            count += len(found)
            characters += sum(map(len, found))
            longest = max([longest, *map(len, found)])
            labels.add(names or ())
        classes = labels.classes(places) if columns.label is not None else None
        if not count and not places.count:
            places.add("/file", "there are no texts")
        places.check()
        details = {"text": columns.text, "label": columns.label, "characters": {"mean": characters / count, "longest": longest}}
        return Profile(format, count, classes, details)

    def preview(self, file: DatasetFile, limit: int) -> list[dict[str, Any]]:
        chunk = next(self.chunks(file, limit), None)
        if chunk is None:
            return []
        shown = [{"text": text[:SHOWN_CHARACTERS]} for text in chunk.inputs]
        return [row | {"label": label} for row, label in zip(shown, chunk.labels, strict=True)] if chunk.labels else shown

    def chunks(self, file: DatasetFile, size: int = 1024) -> Iterator[Chunk]:
        columns = text_columns.resolve(file.path, file.format, _columns(file.options))
        for found, labels in text_columns.read(file.path, file.format, columns, size, ErrorCollector()):
            yield Chunk(found, labels, len(found))

    def incompatibilities(self, source: Profile, other: Profile) -> list[str]:
        """None: any two sets of texts fit together."""
        return []

    def fit(
        self, source: Iterable[Chunk], target: Iterable[Chunk], network: NetworkParams, pretrained: Path | None, folder: Path
    ) -> TextPreprocessing:
        """A vocabulary over source and target; with a pretrained encoder its own tokenizer."""
        if pretrained is not None:
            longest = network.input_limits().tokens or DEFAULT_TOKENS
            traits = copy_tokenizer(pretrained, folder / TOKENIZER, longest)
            return TextPreprocessing(
                files=(TOKENIZER,),
                kind="tokens",
                vocabulary_size=traits.vocabulary_size,
                max_length=traits.max_length,
                pad_id=traits.pad_id,
            )
        frequencies = DocumentFrequencies()
        for chunks in (source, target):
            for chunk in chunks:
                frequencies.add(chunk.inputs)
        terms = frequencies.write(folder / VOCABULARY)
        if not terms:
            raise InvalidRequest("There is not a single word in the texts.")
        return TextPreprocessing(files=(VOCABULARY,), kind="terms", vocabulary_size=terms + 1, max_length=MAX_TERMS_A_TEXT)

    def encoder(self, preprocessing: Preprocessing, folder: Path) -> Encoder:
        """`terms` int64 and `weights` float32, or `input_ids` and `attention_mask` int64; (n, longest of the batch) each."""
        fitted = _preprocessing(preprocessing)
        if fitted.kind == "tokens":
            tokens = TokenizerEncoder(folder / TOKENIZER, fitted.max_length, fitted.pad_id)
            return lambda raw: dict(zip(("input_ids", "attention_mask"), tokens.encode(raw), strict=True))
        vocabulary = TfidfVectorizer(folder / VOCABULARY)
        return lambda raw: dict(zip(("terms", "weights"), vocabulary.encode(raw, fitted.max_length), strict=True))

    def fast_encoder(self, preprocessing: Preprocessing, encode: Encoder) -> FastEncoder:
        """A few short texts."""

        def encode_short(texts: list[Any]) -> Encoded | None:
            if set(map(type, texts)) != {str} or sum(map(len, texts)) > FAST_CHARACTERS:
                return None
            return encode(texts)

        return fast_json_encoder(encode_short)

    def specs(self, preprocessing: Preprocessing) -> dict[str, TensorSpec]:
        if _preprocessing(preprocessing).kind == "tokens":
            return {"input_ids": TensorSpec("int64", (-1,)), "attention_mask": TensorSpec("int64", (-1,), marks_padding=True)}
        return {"terms": TensorSpec("int64", (-1,)), "weights": TensorSpec("float32", (-1,), marks_padding=True)}

    def parse(self, values: Sequence[Any], preprocessing: Preprocessing) -> list[str]:
        errors = [
            FieldError(pointer("inputs", index), "expected a text")
            for index, value in enumerate(values)
            if not isinstance(value, str) or not encodable(value)
        ]
        if errors:
            raise InvalidInputs(f"{errors[0].pointer}: {errors[0].detail}", errors[:LIMIT])
        return list(values)

    def parse_bytes(self, elements: Sequence[bytes], preprocessing: Preprocessing) -> list[str]:
        """UTF-8."""
        try:
            return [element.decode() for element in elements]
        except UnicodeDecodeError as error:
            raise InvalidInputs("A text is not valid UTF-8.", [FieldError("/inputs", "not UTF-8")]) from error


def _columns(options: DatasetOptions) -> Columns:
    assert isinstance(options, TextOptions)
    return Columns(options.text, options.label, options.delimiter)


def _preprocessing(preprocessing: Preprocessing) -> TextPreprocessing:
    assert isinstance(preprocessing, TextPreprocessing)
    return preprocessing
