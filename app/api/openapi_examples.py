"""An example of the body of each operation that changes something, for the documentation and for generated clients."""

from typing import Any

_PARTS = {"description": "Second camera, May", "tags": ["camera-2"]}
_ROW = {"age": 61, "sex": "f", "pressure": 132.5}
_TENSOR = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [0.1, 0.2, 0.3]}
_BATCH = {"model": "digits@production", "dataset": "second-hospital", "output": "csv"}
EXAMPLES: dict[str, Any] = {
    "upload_dataset": {"name": "first-hospital", "file": "patients.csv", "options": '{"label": "diagnosis"}'},
    "upload_encoder": {"name": "cells", "file": "cells.zip", "licence": "MIT", "speed": "fast"},
    "reinterpret_dataset": {"options": {"label": "diagnosis", "ignore": ["patient_id"]}},
    "change_dataset": {"name": "first-hospital", **_PARTS},
    "submit_job": {"model": "diagnosis", "source": "first-hospital", "target": "second-hospital"},
    "check_job": {"model": "diagnosis", "source": "first-hospital", "target": "second-hospital"},
    "change_job": _PARTS,
    "submit_batch_prediction": _BATCH,
    "submit_evaluation": {"versions": ["digits:1", "digits:2"], "dataset": "second-hospital-labelled"},
    "change_evaluation": _PARTS,
    "create_label_request": {"count": 30, "purpose": "both"},
    "set_labels": {"labels": [{"row": 17, "label": "seven"}, {"row": 5, "unclear": True}]},
    "create_label_dataset": {"name": "labelled digits"},
    "import_labels": [{"row": 17, "label": "seven"}],
    "change_batch_prediction": _PARTS,
    "change_model": {"name": "diagnosis", **_PARTS},
    "change_version": _PARTS,
    "set_alias": {"version": 3},
    "predict": {"model": "diagnosis", "inputs": [_ROW], "top_k": 2},
    "invoke": {"dataframe_records": [_ROW]},
    "invoke_model": {"dataframe_records": [_ROW]},
    "predict_instances": {"instances": [_ROW]},
    "infer": {"inputs": [_TENSOR]},
    "infer_version": {"inputs": [_TENSOR]},
    "create_key": {"name": "dashboard", "scopes": ["models:read", "predict"]},
    "sign_in": {"key": "isk_..."},
    "create_webhook": {"url": "https://example.org/isthmus", "events": ["job.finished", "version.registered"]},
    "change_webhook": {"enabled": False},
}


def add(paths: dict[str, Any]) -> None:
    """Add the examples to the first media type of each body."""
    for path in paths.values():
        for operation in path.values():
            example = EXAMPLES.get(operation["operationId"])
            if example is not None:
                next(iter(operation["requestBody"]["content"].values()))["example"] = example
