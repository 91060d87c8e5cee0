"""All routes by the kind of object. A test compares them with the OpenAPI document of the server."""

import inspect
import json
from collections.abc import Mapping
from typing import Any

from isthmus.records import BatchPrediction, Dataset, Job, JobCheck, Model, Record, Version, VersionSummary
from isthmus.routes import C, Group, ListRoute, Route
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


def _bytes(data: bytes, client: Any) -> bytes:
    return data


class _Upload(Route[Dataset]):
    """Upload a path, folder, frame, `(X, y)`, list of images, texts or rows, array, or `datasets.Dataset`.

    `label` names the column of the classes. Further arguments are options of the modality, such as `group="patient"`.
    """

    def __init__(self) -> None:
        super().__init__("POST", "/datasets", Dataset, body="file name modality options")
        self.signature, self.documentation = inspect.signature(self.call), str(type(self).__doc__)

    def call(
        self, data: Any, *, name: str | None = None, label: str | None = None, modality: str | None = None, **options: Any
    ) -> Call[Dataset]:
        file = upload_file(data, label)
        has_columns = not file.name.endswith((".zip", ".npz"))
        form = {"name": name or file.name.partition(".")[0]}
        form["options"] = json.dumps(options | ({"label": label} if label and has_columns else {}))
        form |= {"modality": kind} if (kind := modality or file.modality) else {}
        return Call(self.method, self.path, Dataset, form=form, file=(file.name, file.open))


class Datasets(Group[C]):
    """Immutable uploads."""

    upload = _Upload()
    list = ListRoute("/datasets", Dataset, "limit after")
    get = Route("GET", "/datasets/{dataset}", Dataset)
    change = Route("PATCH", "/datasets/{dataset}", Dataset, body=f"name {LABELS}")
    delete = Route("DELETE", "/datasets/{dataset}", _nothing)
    preview = Route("GET", "/datasets/{dataset}/preview", _examples, query="limit")
    rows = Route("GET", "/datasets/{dataset}/rows", _examples, query="first limit")
    row = Route("GET", "/datasets/{dataset}/rows/{number}", Record)
    usages = ListRoute("/datasets/{dataset}/usages", Record, "limit after")
    reinterpret = Route("POST", "/datasets/{dataset}/reinterpretations", Dataset, body="name modality options")


class Jobs(Group[C]):
    """Adaptation jobs."""

    submit = Route("POST", "/jobs", Job, body=JOB, idempotent=True)
    check = Route("POST", "/jobs/check", JobCheck, body=JOB)
    list = ListRoute("/jobs", Job, "status model limit after")
    get = Route("GET", "/jobs/{job}", Job, query="wait")
    change = Route("PATCH", "/jobs/{job}", Job, body=LABELS)
    delete = Route("DELETE", "/jobs/{job}", _nothing)
    cancel = Route("POST", "/jobs/{job}/cancel", Job, repeatable=False)
    metrics = ListRoute("/jobs/{job}/metrics", Record, "name limit after")
    logs = Route("GET", "/jobs/{job}/logs", _lines)


class BatchPredictions(Group[C]):
    """Predictions of whole datasets."""

    _fields = "model dataset output top_k probabilities precision"
    submit = Route("POST", "/batch-predictions", BatchPrediction, body=_fields, idempotent=True)
    list = ListRoute("/batch-predictions", BatchPrediction, "status model limit after")
    get = Route("GET", "/batch-predictions/{prediction}", BatchPrediction, query="wait")
    change = Route("PATCH", "/batch-predictions/{prediction}", BatchPrediction, body=LABELS)
    delete = Route("DELETE", "/batch-predictions/{prediction}", _nothing)
    cancel = Route("POST", "/batch-predictions/{prediction}/cancel", BatchPrediction, repeatable=False)
    metrics = ListRoute("/batch-predictions/{prediction}/metrics", Record, "name limit after")
    logs = Route("GET", "/batch-predictions/{prediction}/logs", _lines)
    output = Route("GET", "/batch-predictions/{prediction}/output", _bytes)


class Models(Group[C]):
    """Models, their versions, aliases and files."""

    list = ListRoute("/models", Model, "limit after")
    get = Route("GET", "/models/{model}", Model)
    change = Route("PATCH", "/models/{model}", Model, body=f"name {LABELS}")
    delete = Route("DELETE", "/models/{model}", _nothing)
    versions = ListRoute("/models/{model}/versions", VersionSummary, "limit after")
    get_version = Route("GET", "/models/{model}/versions/{number}", Version)
    change_version = Route("PATCH", "/models/{model}/versions/{number}", Version, body=LABELS)
    delete_version = Route("DELETE", "/models/{model}/versions/{number}", _nothing)
    set_alias = Route("PUT", "/models/{model}/aliases/{alias}", Record, body="version")
    delete_alias = Route("DELETE", "/models/{model}/aliases/{alias}", _nothing)
    embedding = Route("GET", "/models/{model}/versions/{number}/embedding", Record)
    report = Route("GET", "/models/{model}/versions/{number}/report", _bytes)
    artifact = Route("GET", "/models/{model}/versions/{number}/artifacts/{file}", _bytes)
    predict = Route("POST", "/predict", Record, body="model inputs top_k probabilities strict precision")


class Catalogue(Group[C]):
    """What the server can do."""

    algorithms = ListRoute("/algorithms", Record)
    networks = ListRoute("/networks", Record)
    encoders = ListRoute("/encoders", Record)


class Service(Group[C]):
    """State and administration of the server."""

    live = Route("GET", "/health/live", Record)
    ready = Route("GET", "/health/ready", Record)
    workers = ListRoute("/workers", Record)
    storage = Route("GET", "/storage", Record, query="limit scan")
    audit = ListRoute("/audit", Record, "project limit after")
    keys = ListRoute("/keys", Record, "limit after")
    get_key = Route("GET", "/keys/{key}", Record)
    create_key = Route("POST", "/keys", Record, body="name scopes project models expires_at", repeatable=False)
    revoke_key = Route("DELETE", "/keys/{key}", Record)


class Webhooks(Group[C]):
    """Addresses that receive events."""

    create = Route("POST", "/webhooks", Record, body="url events secret", repeatable=False)
    list = ListRoute("/webhooks", Record, "limit after")
    get = Route("GET", "/webhooks/{webhook}", Record)
    change = Route("PATCH", "/webhooks/{webhook}", Record, body="url events secret enabled")
    delete = Route("DELETE", "/webhooks/{webhook}", _nothing)
    test = Route("POST", "/webhooks/{webhook}/test", Record, repeatable=False)
    deliveries = ListRoute("/webhooks/{webhook}/deliveries", Record, "limit after")
    redeliver = Route("POST", "/webhooks/{webhook}/deliveries/{delivery}/redeliver", Record, repeatable=False)
