"""The scopes of API keys: what a caller may do. Each route names one of them."""

from collections.abc import Mapping

SCOPES: Mapping[str, str] = {
    "predict": "Predict with models.",
    "datasets:read": "List datasets and see their examples.",
    "datasets:write": "Upload, change and delete datasets.",
    "jobs:read": "Read jobs with their events and metrics; list algorithms and networks.",
    "jobs:write": "Submit, change, cancel and delete jobs.",
    "predictions:read": "Read batch predictions and download their outputs.",
    "predictions:write": "Submit, cancel and delete batch predictions.",
    "models:read": "List models and versions with their metrics.",
    "models:write": "Change descriptions and tags of models and versions.",
    "labels:read": "List label requests and see their rows.",
    "labels:write": "Request, set and import labels, make datasets of them, and delete label requests.",
    "models:promote": "Set and delete aliases.",
    "models:delete": "Delete models and versions.",
    "artifacts:read": "Download the files of versions, such as weights.",
    "pretrained": "Start jobs from allowed folders and Hub repositories; `jobs:write` is needed too.",
    "encoders:write": "Upload and delete pretrained encoders.",
    "webhooks:read": "Read webhooks and their deliveries.",
    "webhooks:write": "Create, change, delete and repeat webhooks.",
    "storage:read": "Read how much storage the project uses.",
    "metrics": "Read Prometheus metrics.",
    "admin": "Everything in the key's project; keys and the audit log of all projects.",
}
ADMIN = "admin"
