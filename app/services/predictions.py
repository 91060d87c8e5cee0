"""Predictions: resolve the model at this moment, bring the inputs into its form, ask the engine."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session, sessionmaker

from app.errors import FieldError, InvalidInputs
from app.metrics import PREDICTED_INPUTS, PREDICTION_SECONDS
from app.schemas.predict import ClassProbability, PredictCreate, PredictForm, Prediction, PredictOut
from app.services import models
from app.serving.engine import LoadedVersion, PredictionEngine, StoredFile, VersionFiles

Parse = Callable[[LoadedVersion], Any]


def of_values(sessions: "sessionmaker[Session]", engine: PredictionEngine, body: PredictCreate) -> PredictOut:
    """Answers to JSON inputs. Raises ModelNotFound, InvalidInputs."""
    return _predict(sessions, engine, body, lambda loaded: loaded.modality.parse(body.inputs, loaded.preprocessing))


def of_files(
    sessions: "sessionmaker[Session]", engine: PredictionEngine, form: PredictForm, files: Sequence[bytes]
) -> PredictOut:
    """Answers to uploaded files. Raises ModelNotFound, InvalidInputs."""
    return _predict(sessions, engine, form, lambda loaded: loaded.modality.parse_files(files, loaded.preprocessing))


def _predict(sessions: "sessionmaker[Session]", engine: PredictionEngine, form: PredictForm, parse: Parse) -> PredictOut:
    with sessions.begin() as session:  # ends before the slow work; a moved alias counts from the next request on
        row = models.resolve(session, form.model)
        name, number = row.model.name, row.number
        files = {file.name: StoredFile(file.storage_key, file.digest) for file in row.artifacts}
    start = perf_counter()
    loaded = engine.load(VersionFiles(row.id, row.manifest, files))
    probabilities = loaded.probabilities(parse(loaded))
    PREDICTION_SECONDS.labels(row.modality).observe(perf_counter() - start)
    PREDICTED_INPUTS.labels(row.modality).inc(len(probabilities))
    _check_finite(probabilities)
    return PredictOut(model=name, version=number, predictions=_answers(probabilities, loaded.classes, form.top_k))


def _check_finite(probabilities: NDArray[np.float64]) -> None:
    bad = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(bad):
        places = [FieldError(f"/inputs/{row}", "its values are too large for this model") for row in bad]
        raise InvalidInputs("The model has no finite answer to some of the inputs.", places)


def _answers(probabilities: NDArray[np.float64], classes: Sequence[str], top_k: int) -> list[Prediction]:
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    return [_answer(row, ranks, classes) for row, ranks in zip(probabilities, order, strict=True)]


def _answer(probabilities: NDArray[np.float64], ranks: NDArray[np.intp], classes: Sequence[str]) -> Prediction:
    top = [ClassProbability(label=classes[rank], probability=float(probabilities[rank])) for rank in ranks]
    return Prediction(label=top[0].label, confidence=top[0].probability, top=top)
