"""Texts. Raw inputs are lists of strings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from app.errors import FieldError, InvalidInputs, InvalidRequest
from app.formats import tables, text_columns
from app.formats.class_labels import ClassCounter
from app.formats.data_warnings import DataWarning
from app.formats.dialects import Delimiter, Encoding, Layout
from app.formats.text_columns import Columns, RowErrors
from app.formats.validation import LIMIT, ErrorCollector, encodable, pointer
from app.modalities.base import (
    CHUNK_ROWS,
    Chunk,
    DatasetFile,
    DatasetOptions,
    EncodedInputs,
    Encoder,
    FastEncoder,
    Modality,
    Preprocessing,
    Profile,
    TensorSpec,
    fast_json_encoder,
    labelled_examples,
)
from app.networks.base import NetworkParams
from app.preprocessing import shared_terms
from app.preprocessing.shared_terms import FrequentTerms
from app.preprocessing.tfidf import DocumentFrequencies, TfidfVectorizer
from app.preprocessing.tokenizer import TokenizerEncoder, copy_tokenizer

VOCABULARY = "vocabulary.json"
TOKENIZER = "tokenizer.json"
MAX_TERMS = 1024
DEFAULT_TOKENS = 512
MAX_PREVIEW_CHARACTERS = 1000
MAX_FAST_CHARACTERS = 4000

Name = Annotated[str, Field(min_length=1, max_length=200)]


class TextOptions(DatasetOptions):
    """Options for reading texts."""

    text: Name | None = Field(
        None, description="Column with the texts. Default: `text`, or the only column other than the label."
    )
    label: Name | None = Field(None, description="Column with the labels. Default: `label` if it exists.")
    delimiter: Delimiter | None = Field(None, description="Separator of the cells of a CSV file. Default: detected.")
    encoding: Encoding | None = Field(None, description="Encoding of a CSV file, such as `cp1252`. Default: detected.")
    header: bool | None = Field(None, description="Whether the first row of a CSV file has the names of the columns.")


class TextPreprocessing(Preprocessing):
    """`terms`: TF-IDF over the vocabulary file; `tokens`: the ids of the tokenizer file."""

    modality: Literal["text"] = "text"
    kind: Literal["terms", "tokens"]
    vocabulary_size: int = Field(description="Ids are less than this number.")
    max_length: int = Field(description="Maximum number of terms or tokens per text.")
    pad_id: int = 0


class Text(Modality):
    """CSV, JSON lines and Parquet with a column of texts."""

    name = "text"
    suffixes: ClassVar[Mapping[str, str]] = tables.SUFFIXES
    options = TextOptions
    preprocessing = TextPreprocessing
    raw_tensor = "text"

    def can_read(self, path: Path, format: str, options: DatasetOptions) -> bool:
        """Claim files with a column `text`, or a single text column beside the label."""
        return text_columns.looks_like_text(path, format, _columns(options))

    def check(self, path: Path, format: str, options: DatasetOptions) -> Profile:
        columns = text_columns.resolve(path, format, _columns(options))
        labels, errors = ClassCounter(pointer("columns", columns.label or "")), ErrorCollector()
        count = characters = longest = 0
        frequent = FrequentTerms()
        for texts, names in text_columns.read(path, format, columns, 1024, RowErrors(errors, labels.missing)):
            count += len(texts)
            frequent.add(texts)
            characters += sum(map(len, texts))
            longest = max([longest, *map(len, texts)])
            labels.add(name for name in names or () if name is not None)
        classes = labels.classes(errors) if columns.label is not None else None
        if not count and not errors.count:
            errors.add("/file", "there are no texts")
        errors.check()
        lengths = {"mean": characters / count, "longest": longest}
        details: dict[str, Any] = {"text": columns.text, "label": columns.label, "characters": lengths}
        details |= {"warnings": errors.warnings} if errors.warnings else {}
        return Profile(format, count, classes, details | frequent.as_details())

    def preview(self, file: DatasetFile, rows: Sequence[int]) -> list[dict[str, Any]]:
        return labelled_examples(
            self.selected(file, rows), lambda texts: [{"text": text[:MAX_PREVIEW_CHARACTERS]} for text in texts]
        )

    def example(self, file: DatasetFile, row: int) -> list[dict[str, Any]]:
        return labelled_examples(self.selected(file, [row]), lambda texts: [{"text": text} for text in texts])

    def chunks(self, file: DatasetFile, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        columns = text_columns.resolve(file.path, file.format, _columns(file.options))
        errors = RowErrors(ErrorCollector(), ErrorCollector())
        for texts, labels in text_columns.read(file.path, file.format, columns, size, errors):
            yield Chunk(texts, [label or "" for label in labels] if labels and file.labelled else None, len(texts))

    def incompatibilities(self, source: Profile, other: Profile) -> list[str]:
        """Return nothing: texts are always compatible."""
        return []

    def joined_details(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
        if "frequent_terms" not in first or "frequent_terms" not in second:
            return dict(first)
        return {**first, "frequent_terms": sorted({*first["frequent_terms"], *second["frequent_terms"]})}

    def comparison(self, source: Profile, other: Profile, role: str) -> list[DataWarning]:
        """Warn of datasets that share few terms."""
        return shared_terms.compare(source.details, other.details, role)

    def fit(
        self, source: Iterable[Chunk], target: Iterable[Chunk], network: NetworkParams, pretrained: Path | None, folder: Path
    ) -> TextPreprocessing:
        """Fit a vocabulary over source and target, or copy the tokenizer of a pretrained encoder."""
        if pretrained is not None:
            longest = network.input_limits().tokens or DEFAULT_TOKENS
            tokenizer = copy_tokenizer(pretrained, folder / TOKENIZER, longest)
            return TextPreprocessing(
                files=(TOKENIZER,),
                kind="tokens",
                vocabulary_size=tokenizer.vocabulary_size,
                max_length=tokenizer.max_length,
                pad_id=tokenizer.pad_id,
            )
        frequencies = DocumentFrequencies()
        for chunks in (source, target):
            for chunk in chunks:
                frequencies.add(chunk.inputs)
        terms = frequencies.write(folder / VOCABULARY)
        if not terms:
            raise InvalidRequest("The texts contain no words.")
        return TextPreprocessing(files=(VOCABULARY,), kind="terms", vocabulary_size=terms + 1, max_length=MAX_TERMS)

    def encoder(self, preprocessing: Preprocessing, folder: Path) -> Encoder:
        """Return an encoder to `terms` and `weights`, or `input_ids` and `attention_mask`; each (n, longest of the batch)."""
        fitted = _preprocessing(preprocessing)
        if fitted.kind == "tokens":
            tokens = TokenizerEncoder(folder / TOKENIZER, fitted.max_length, fitted.pad_id)
            return lambda raw: dict(zip(("input_ids", "attention_mask"), tokens.encode(raw), strict=True))
        vocabulary = TfidfVectorizer(folder / VOCABULARY)
        return lambda raw: dict(zip(("terms", "weights"), vocabulary.encode(raw, fitted.max_length), strict=True))

    def fast_encoder(self, preprocessing: Preprocessing, encode: Encoder) -> FastEncoder:
        """Return an encoder of short texts."""

        def encode_short(texts: list[Any]) -> EncodedInputs | None:
            if set(map(type, texts)) != {str} or sum(map(len, texts)) > MAX_FAST_CHARACTERS:
                return None
            return EncodedInputs(encode(texts))

        return fast_json_encoder(encode_short)

    def specs(self, preprocessing: Preprocessing) -> dict[str, TensorSpec]:
        fitted = _preprocessing(preprocessing)
        limits = (fitted.vocabulary_size,)
        if fitted.kind == "tokens":
            return {
                "input_ids": TensorSpec("int64", (-1,), limits=limits),
                "attention_mask": TensorSpec("int64", (-1,), marks_padding=True),
            }
        return {"terms": TensorSpec("int64", (-1,), limits=limits), "weights": TensorSpec("float32", (-1,), marks_padding=True)}

    def parse(self, values: Sequence[Any], preprocessing: Preprocessing) -> list[str]:
        errors = [
            FieldError(pointer("inputs", index), "expected a string")
            for index, value in enumerate(values)
            if not isinstance(value, str) or not encodable(value)
        ]
        if errors:
            raise InvalidInputs(f"{errors[0].pointer}: {errors[0].detail}", errors[:LIMIT])
        return list(values)

    def parse_bytes(self, elements: Sequence[bytes], preprocessing: Preprocessing) -> list[str]:
        """Decode UTF-8."""
        try:
            return [element.decode() for element in elements]
        except UnicodeDecodeError as error:
            raise InvalidInputs("A text is not valid UTF-8.", [FieldError("/inputs", "not UTF-8")]) from error


def _columns(options: DatasetOptions) -> Columns:
    assert isinstance(options, TextOptions)
    return Columns(options.text, options.label, Layout(options.delimiter, options.encoding, options.header))


def _preprocessing(preprocessing: Preprocessing) -> TextPreprocessing:
    assert isinstance(preprocessing, TextPreprocessing)
    return preprocessing
