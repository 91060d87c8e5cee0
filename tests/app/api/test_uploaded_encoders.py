"""Uploaded encoders over HTTP: what is accepted, the reasons for a rejection, and references by jobs."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from tests.support.factories import make_dataset, zip_bytes

HEADER = json.dumps({"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
WEIGHTS = len(HEADER).to_bytes(8, "little") + HEADER + bytes(8)
CONFIG = b'{"model_type": "vit"}'
FILES = {
    "vit/config.json": CONFIG,
    "vit/model.safetensors": WEIGHTS,
    "vit/preprocessor_config.json": b"{}",
    "vit/README.md": b"#",
}
SAME_ZIP = zip_bytes(FILES)
"""A zip contains the time at which it was made."""


def upload(client: TestClient, files: Mapping[str, bytes] = FILES, **fields: str) -> Any:
    form = {"name": "cells", "licence": "MIT", **fields}
    content = SAME_ZIP if files is FILES else zip_bytes(files)
    return client.post("/encoders", data=form, files={"file": ("cells.zip", content)})


def job_body(session: Session, modality: str = "image", pretrained: str = "upload:cells") -> dict[str, Any]:
    profile = {"channels": 3, "height": [60, 60], "width": [60, 60]} if modality == "image" else {}
    source = make_dataset(session, modality=modality, format="zip", profile=profile)
    session.commit()
    return {"model": "m", "source": str(source.id), "params": {"algorithm": "fine_tune"}, "base": {"pretrained": pretrained}}


def test_upload_is_listed_used_and_deleted(client: TestClient, session: Session) -> None:
    answer = upload(client, speed="fast")
    assert answer.status_code == 201, answer.text
    encoder = answer.json()
    assert {name: encoder[name] for name in ("id", "modality", "speed", "licence", "origin")} == {
        "id": "upload:cells",
        "modality": "image",
        "speed": "fast",
        "licence": "MIT",
        "origin": "upload",
    }
    assert client.get(answer.headers["location"]).json() == encoder
    assert encoder in client.get("/encoders").json()["data"]
    assert upload(client, speed="fast").status_code == 200
    assert upload(client, licence="Apache-2.0").json()["code"] == "encoder_name_taken"

    job = client.post("/jobs", json=job_body(session)).json()
    assert job["base"]["pretrained"] == "upload:cells"
    assert job["base"]["frozen"] is True
    refused = client.delete("/encoders/upload:cells")
    assert (refused.status_code, refused.json()["code"]) == (409, "encoder_in_use")
    client.post(f"/jobs/{job['id']}/cancel")
    assert client.delete("/encoders/upload:cells").status_code == 204
    assert client.get("/encoders/upload:cells").status_code == 404


def test_job_names_an_uploaded_encoder_of_its_modality(client: TestClient, session: Session) -> None:
    upload(client)
    for body in (job_body(session, "text"), job_body(session, pretrained="upload:other")):
        answer = client.post("/jobs", json=body)
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/base/pretrained"]


def test_known_encoder_is_returned_and_not_deleted(client: TestClient) -> None:
    assert client.get("/encoders/efficientnet-lite0").json()["licence"] == "Apache-2.0"
    assert client.delete("/encoders/efficientnet-lite0").status_code == 404


def changed(**files: bytes | None) -> dict[str, bytes]:
    """Return the files with some of them changed, or left out for None; `_` stands for a point."""
    named = {f"vit/{name.replace('__', '.')}": content for name, content in files.items()}
    return {name: content for name, content in {**FILES, **named}.items() if content is not None}


def safetensors(header: object) -> bytes:
    """Return weights with this header."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "there is no config.json"),
        (changed(model__safetensors=None, pytorch_model__bin=b"pickle"), "may contain code: save the weights as safetensors"),
        (changed(model__safetensors=WEIGHTS[:-1]), "is not in the file"),
        (changed(model__safetensors=b"\xff" * 9), "its header is longer"),
        (changed(model__safetensors=safetensors([])), "its header is not a JSON object"),
        (changed(model__safetensors=safetensors({"weight": None})), "its header is damaged at weight"),
        (changed(model__safetensors=safetensors({"weight": {"data_offsets": [0, "b"]}})), "its header is damaged at weight"),
        (changed(model__safetensors=safetensors({"weight": {"data_offsets": [0]}})), "its header is damaged at weight"),
        (changed(preprocessor_config__json=None), "nor a tokenizer"),
        (changed(config__json=b"[]"), "is not a JSON object"),
        (changed(config__json=b'{"model_type": "x", "auto_map": {}}'), "needs code of its own"),
        ({**FILES, "../config.json": CONFIG}, "leaves the archive"),
    ],
)
def test_unusable_checkpoint_is_refused_with_the_reason(client: TestClient, files: dict[str, bytes], reason: str) -> None:
    answer = upload(client, files)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_encoder")
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize("fields", [{"name": "a/b"}, {"licence": ""}, {"speed": "slow"}])
def test_invalid_field_is_named(client: TestClient, fields: dict[str, str]) -> None:
    answer = upload(client, FILES, **fields)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"/{name}" for name in fields]
