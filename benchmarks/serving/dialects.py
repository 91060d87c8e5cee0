"""Request and response formats of the servers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.serving.subjects import Subject

BOUNDARY = "a-boundary-of-the-benchmark"
JSON, OCTETS = "application/json", "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Request:
    """A POST with a body, or a GET without one."""

    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def raw(self, port: int) -> bytes:
        """Return the request as bytes."""
        headers = {"Host": f"127.0.0.1:{port}", **self.headers}
        if self.body:
            headers["Content-Length"] = str(len(self.body))
        lines = [
            f"{'POST' if self.body else 'GET'} {self.path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True, slots=True)
class Dialect:
    """A format. `ask` makes the request for the first inputs of a subject; `read` extracts probabilities by class index."""

    ask: Callable[[Subject, int], Request]
    read: Callable[[bytes, Subject], list[dict[int, float]]]


def json_request(path: str, body: Any, **headers: str) -> Request:
    return Request(path, json.dumps(body, separators=(",", ":")).encode(), {"Content-Type": JSON, **headers})


def inputs_of(subject: Subject, samples: int) -> list[Any]:
    return list(subject.written[:samples])


def array(subject: Subject, samples: int) -> NDArray[Any]:
    """Return the graph's only input."""
    (only,) = subject.encoded(samples).values()
    return only


def multipart(path: str, fields: dict[str, str], files: Sequence[bytes]) -> Request:
    """Make a form with the files as `files`."""
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    parts += [b'name="files"; filename="image.jpg"\r\nContent-Type: image/jpeg\r\n\r\n' + file for file in files]
    content = b"".join(f"--{BOUNDARY}\r\nContent-Disposition: form-data; ".encode() + part + b"\r\n" for part in parts)
    return Request(path, content + f"--{BOUNDARY}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})


def rows(values: Any) -> list[dict[int, float]]:
    """Read the probabilities of all classes (n, classes)."""
    return [dict(enumerate(row)) for row in np.asarray(values, np.float64).tolist()]


def read_probabilities(answer: bytes, subject: Subject) -> list[dict[int, float]]:
    return rows(json.loads(answer)["probabilities"])


def read_floats(answer: bytes, subject: Subject) -> list[dict[int, float]]:
    return rows(np.frombuffer(answer, np.float32).reshape(-1, len(subject.classes)))


def read_predictions(answer: bytes, subject: Subject) -> list[dict[int, float]]:
    """Read the service's most probable classes by name."""
    indices = {label: number for number, label in enumerate(subject.classes)}
    predictions = json.loads(answer)["predictions"]
    return [{indices[top["label"]]: top["probability"] for top in prediction["top"]} for prediction in predictions]


def tensor_request(path: str, subject: Subject, samples: int) -> Request:
    """Make a request of the Open Inference Protocol, version 2, in JSON."""
    values = np.asarray(subject.written[:samples]).ravel().tolist()
    return json_request(path, {"inputs": [_tensor(subject, samples) | {"data": values}], "outputs": [PROBABILITIES]})


def binary_tensor_request(path: str, subject: Subject, samples: int) -> Request:
    """Make the same request with binary tensors after the JSON, in both directions."""
    values = array(subject, samples).tobytes()
    tensor = _tensor(subject, samples) | {"parameters": {"binary_data_size": len(values)}}
    output = PROBABILITIES | {"parameters": {"binary_data": True}}
    head = json_request(path, {"inputs": [tensor], "outputs": [output]}).body
    headers = {"Content-Type": OCTETS, "Inference-Header-Content-Length": str(len(head))}
    return Request(path, head + values, headers)


PROBABILITIES: dict[str, Any] = {"name": "probabilities"}


def _tensor(subject: Subject, samples: int) -> dict[str, Any]:
    ((name, values),) = subject.encoded(samples).items()
    return {"name": name, "shape": values.shape, "datatype": {"uint8": "UINT8", "float32": "FP32"}[str(values.dtype)]}


def read_tensor(answer: bytes, subject: Subject) -> list[dict[int, float]]:
    """Read an Open Inference Protocol response. Bytes after the JSON are the output."""
    document, end = json.JSONDecoder().raw_decode(answer.decode("latin-1"))
    (output,) = document["outputs"]
    values = output["data"] if "data" in output else np.frombuffer(answer[end:], np.float32)
    return rows(np.reshape(values, output["shape"]))


def _infer(subject: Subject) -> str:
    return f"/v2/models/{subject.name}/infer"


ISTHMUS = {
    "json": Dialect(
        lambda subject, samples: json_request("/predict", {"model": subject.name, "inputs": inputs_of(subject, samples)}),
        read_predictions,
    ),
    "binary": Dialect(
        lambda subject, samples: Request(
            f"/predict?model={subject.name}", array(subject, samples).tobytes(), {"Content-Type": OCTETS}
        ),
        read_predictions,
    ),
    "v2": Dialect(lambda subject, samples: tensor_request(_infer(subject), subject, samples), read_tensor),
    "v2 binary": Dialect(lambda subject, samples: binary_tensor_request(_infer(subject), subject, samples), read_tensor),
    "jpeg": Dialect(
        lambda subject, samples: multipart("/predict", {"model": subject.name}, subject.written[:samples]), read_predictions
    ),
}
PLAIN = {
    "json": Dialect(
        lambda subject, samples: json_request(f"/json/{subject.name}", {"inputs": inputs_of(subject, samples)}),
        read_probabilities,
    ),
    "binary": Dialect(
        lambda subject, samples: Request(f"/binary/{subject.name}", array(subject, samples).tobytes(), {"Content-Type": OCTETS}),
        read_floats,
    ),
    "jpeg": Dialect(
        lambda subject, samples: multipart(f"/image/{subject.name}", {}, subject.written[:samples]), read_probabilities
    ),
}
LITSERVE = {
    "json": Dialect(
        lambda subject, samples: json_request(f"/{subject.name}", {"inputs": inputs_of(subject, samples)}), read_probabilities
    )
}
BENTOML = {
    "json": Dialect(
        lambda subject, samples: json_request(f"/{subject.name}", {"inputs": inputs_of(subject, samples)}),
        lambda answer, subject: rows(json.loads(answer)),
    )
}
MLSERVER = {"json": ISTHMUS["v2"]}
HELLO = Dialect(lambda subject, samples: Request("/hello"), lambda answer, subject: [])
