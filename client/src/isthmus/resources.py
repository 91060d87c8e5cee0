"""All routes by the kind of object. A test compares them with the OpenAPI document of the server."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from isthmus import records
from isthmus.routes import C, Group, ListRoute, Route, T
from isthmus.transport import Call
from isthmus.uploads import upload_file

LABELS = "description tags"
JOB = "model source target evaluation base params"


def _nothing(data: Any, client: Any) -> None:
    """Ignore the empty body of a response."""


def _examples(data: Mapping[str, Any], client: Any) -> list[dict[str, Any]]:
    return list(data["data"])


def _lines(data: Mapping[str, Any], client: Any) -> list[str]:
    return list(data["lines"])


def _as_it_is(data: Any, client: Any) -> Any:
    return data


def _bytes(data: bytes, client: Any) -> bytes:
    return data


class _Upload(Route[T]):
    """Upload a path, folder, frame, `(X, y)`, list of images, texts or rows, array, or `datasets.Dataset`.

    `label` names the column of the classes. Further arguments are options of the modality, such as `group="patient"`.
    """

    def __init__(self, path: str, record: type[T], fields: str) -> None:
        super().__init__("POST", path, record, body=f"file name {fields}")
        self.signature, self.documentation = inspect.signature(self.call), str(type(self).__doc__)

    def call(
        self, data: Any, *, name: str | None = None, label: str | None = None, modality: str | None = None, **options: Any
    ) -> Call[T]:
        file = upload_file(data, label)
        has_columns = not file.name.endswith((".zip", ".npz"))
        form = {"name": name or file.name.partition(".")[0]}
        form["options"] = json.dumps(options | ({"label": label} if label and has_columns else {}))
        form |= {"modality": kind} if (kind := modality or file.modality) else {}
        return Call(self.method, self.path, self.result, form=form, file=(file.name, file.open))


class _EncoderUpload(_Upload[records.Record]):
    """Upload the folder or zip of a checkpoint. `speed` is `fast`, `balanced` or `accurate`."""

    def call(self, path: Any, *, name: str, licence: str, speed: str = "balanced") -> Call[records.Record]:  # type: ignore[override]
        file, form = upload_file(path, None), {"name": name, "licence": licence, "speed": speed}
        return Call(self.method, self.path, self.result, form=form, file=(file.name, file.open))


class Datasets(Group[C]):
    """Immutable uploads."""

    upload = _Upload("/datasets", records.Dataset, "modality options")
    list = ListRoute("/datasets", records.Dataset, "limit after")
    get = Route("GET", "/datasets/{dataset}", records.Dataset)
    change = Route("PATCH", "/datasets/{dataset}", records.Dataset, body=f"name {LABELS}")
    delete = Route("DELETE", "/datasets/{dataset}", _nothing)
    preview = Route("GET", "/datasets/{dataset}/preview", _examples, query="limit")
    rows = Route("GET", "/datasets/{dataset}/rows", _examples, query="first limit")
    row = Route("GET", "/datasets/{dataset}/rows/{number}", records.Record)
    usages = ListRoute("/datasets/{dataset}/usages", records.Record, "limit after")
    reinterpret = Route("POST", "/datasets/{dataset}/reinterpretations", records.Dataset, body="name modality options")


class Jobs(Group[C]):
    """Adaptation jobs."""

    submit = Route("POST", "/jobs", records.Job, body=JOB, idempotent=True)
    check = Route("POST", "/jobs/check", records.JobCheck, body=JOB)
    list = ListRoute("/jobs", records.Job, "status model limit after")
    get = Route("GET", "/jobs/{job}", records.Job, query="wait")
    change = Route("PATCH", "/jobs/{job}", records.Job, body=LABELS)
    delete = Route("DELETE", "/jobs/{job}", _nothing)
    cancel = Route("POST", "/jobs/{job}/cancel", records.Job, repeatable=False)
    metrics = ListRoute("/jobs/{job}/metrics", records.Record, "name limit after")
    logs = Route("GET", "/jobs/{job}/logs", _lines)


class BatchPredictions(Group[C]):
    """Predictions of whole datasets."""

    _fields = "model dataset output top_k probabilities precision"
    submit = Route("POST", "/batch-predictions", records.BatchPrediction, body=_fields, idempotent=True)
    list = ListRoute("/batch-predictions", records.BatchPrediction, "status model limit after")
    get = Route("GET", "/batch-predictions/{prediction}", records.BatchPrediction, query="wait")
    change = Route("PATCH", "/batch-predictions/{prediction}", records.BatchPrediction, body=LABELS)
    delete = Route("DELETE", "/batch-predictions/{prediction}", _nothing)
    cancel = Route("POST", "/batch-predictions/{prediction}/cancel", records.BatchPrediction, repeatable=False)
    metrics = ListRoute("/batch-predictions/{prediction}/metrics", records.Record, "name limit after")
    logs = Route("GET", "/batch-predictions/{prediction}/logs", _lines)
    output = Route("GET", "/batch-predictions/{prediction}/output", _bytes)


class Evaluations(Group[C]):
    """Measurements of versions on labelled datasets."""

    submit = Route("POST", "/evaluations", records.Evaluation, body="versions dataset", idempotent=True)
    list = ListRoute("/evaluations", records.Evaluation, "status model limit after")
    get = Route("GET", "/evaluations/{evaluation}", records.Evaluation, query="wait")
    change = Route("PATCH", "/evaluations/{evaluation}", records.Evaluation, body=LABELS)
    delete = Route("DELETE", "/evaluations/{evaluation}", _nothing)
    cancel = Route("POST", "/evaluations/{evaluation}/cancel", records.Evaluation, repeatable=False)
    metrics = ListRoute("/evaluations/{evaluation}/metrics", records.Record, "name limit after")
    logs = Route("GET", "/evaluations/{evaluation}/logs", _lines)


class _ImportLabels(Route[records.LabelRequest]):
    """Import answers: rows with `row` and `label`, or results of Label Studio."""

    def __init__(self) -> None:
        super().__init__("POST", "/label-requests/{request}/import", records.LabelRequest)
        self.signature, self.documentation = inspect.signature(self.call), str(type(self).__doc__)

    def call(self, request: Any, labels: Any) -> Call[records.LabelRequest]:
        return replace(super().call(request, labels), body=labels)


class LabelRequests(Group[C]):
    """Rows to label, to measure the accuracy of a version."""

    create = Route(
        "POST", "/models/{model}/versions/{number}/label-requests", records.LabelRequest, body="count purpose", repeatable=False
    )
    list = ListRoute("/label-requests", records.LabelRequest, "model version limit after")
    get = Route("GET", "/label-requests/{request}", records.LabelRequest)
    delete = Route("DELETE", "/label-requests/{request}", _nothing)
    rows = Route("GET", "/label-requests/{request}/rows", _examples)
    answer = Route("PUT", "/label-requests/{request}/labels", records.LabelRequest, body="labels")
    dataset = Route("POST", "/label-requests/{request}/dataset", records.Dataset, body="name")
    export = Route("GET", "/label-requests/{request}/export", _as_it_is, query="format")
    import_labels = _ImportLabels()


class Models(Group[C]):
    """Models, their versions, aliases and files."""

    list = ListRoute("/models", records.Model, "limit after")
    get = Route("GET", "/models/{model}", records.Model)
    change = Route("PATCH", "/models/{model}", records.Model, body=f"name {LABELS}")
    delete = Route("DELETE", "/models/{model}", _nothing)
    versions = ListRoute("/models/{model}/versions", records.VersionSummary, "limit after")
    get_version = Route("GET", "/models/{model}/versions/{number}", records.Version)
    change_version = Route("PATCH", "/models/{model}/versions/{number}", records.Version, body=LABELS)
    delete_version = Route("DELETE", "/models/{model}/versions/{number}", _nothing)
    set_alias = Route("PUT", "/models/{model}/aliases/{alias}", records.Record, body="version")
    delete_alias = Route("DELETE", "/models/{model}/aliases/{alias}", _nothing)
    embedding = Route("GET", "/models/{model}/versions/{number}/embedding", records.Record)
    evaluations = ListRoute("/models/{model}/versions/{number}/evaluations", records.Record, "limit after")
    report = Route("GET", "/models/{model}/versions/{number}/report", _bytes)
    artifact = Route("GET", "/models/{model}/versions/{number}/artifacts/{file}", _bytes)
    predict = Route("POST", "/predict", records.Record, body="model inputs top_k probabilities strict precision")


class Catalogue(Group[C]):
    """What the server can do."""

    algorithms = ListRoute("/algorithms", records.Record)
    networks = ListRoute("/networks", records.Record)
    encoders = ListRoute("/encoders", records.Record)
    encoder = Route("GET", "/encoders/{encoder}", records.Record)
    upload_encoder = _EncoderUpload("/encoders", records.Record, "licence speed")
    delete_encoder = Route("DELETE", "/encoders/{encoder}", _nothing)


class Service(Group[C]):
    """State and administration of the server."""

    live = Route("GET", "/health/live", records.Record)
    ready = Route("GET", "/health/ready", records.Record)
    workers = ListRoute("/workers", records.Record)
    storage = Route("GET", "/storage", records.Record, query="limit scan")
    audit = ListRoute("/audit", records.Record, "project limit after")
    keys = ListRoute("/keys", records.Record, "limit after")
    get_key = Route("GET", "/keys/{key}", records.Record)
    create_key = Route("POST", "/keys", records.Record, body="name scopes project models expires_at", repeatable=False)
    revoke_key = Route("DELETE", "/keys/{key}", records.Record)


class Webhooks(Group[C]):
    """Addresses that receive events."""

    create = Route("POST", "/webhooks", records.Record, body="url events secret", repeatable=False)
    list = ListRoute("/webhooks", records.Record, "limit after")
    get = Route("GET", "/webhooks/{webhook}", records.Record)
    change = Route("PATCH", "/webhooks/{webhook}", records.Record, body="url events secret enabled")
    delete = Route("DELETE", "/webhooks/{webhook}", _nothing)
    test = Route("POST", "/webhooks/{webhook}/test", records.Record, repeatable=False)
    deliveries = ListRoute("/webhooks/{webhook}/deliveries", records.Record, "limit after")
    redeliver = Route("POST", "/webhooks/{webhook}/deliveries/{delivery}/redeliver", records.Record, repeatable=False)
