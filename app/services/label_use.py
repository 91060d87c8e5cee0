"""The use of labels in jobs: a label measures or teaches, never both (`app.services.label_draws`)."""

from collections.abc import Mapping

from app.db.tables import DatasetRow
from app.errors import FieldError, InvalidRequest
from app.labels.row_labels import RowLabels, Use

_COLLECTED_TO: Mapping[Use, str] = {"measuring": "measure", "training": "train"}


def check_use(datasets: Mapping[str, tuple[DatasetRow | None, Use]]) -> None:
    """Raise InvalidRequest for datasets of labels whose use is another one. The keys are pointers."""
    errors = []
    for pointer, (dataset, use) in datasets.items():
        labels = RowLabels.of(dataset.profile) if dataset is not None else None
        if labels is not None and labels.use != use:
            detail = (
                f"these labels were collected to {_COLLECTED_TO[labels.use]} and cannot {_COLLECTED_TO[use]} too, because a "
                "model that has learned a row predicts it too well; request other rows for this use"
            )
            errors.append(FieldError(pointer, detail))
    if errors:
        raise InvalidRequest(errors=errors)
