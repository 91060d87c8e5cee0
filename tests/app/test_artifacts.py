"""The manifest of a version: what is written can be read, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.artifacts import MANIFEST_FILE, InputSpec, Manifest
from app.errors import ArtifactCorrupt, UnsupportedManifest
from tests.support.factories import make_manifest, make_version


def test_manifest_round_trips_through_its_file(tmp_path: Path) -> None:
    manifest = make_manifest(inputs={"pixels": InputSpec("uint8", (-1, 8, 1))}, metrics={"source_accuracy": 0.5})
    manifest.write(tmp_path)
    content = json.loads((tmp_path / MANIFEST_FILE).read_text())
    assert content["inputs"] == {"pixels": {"dtype": "uint8", "shape": [-1, 8, 1]}}
    assert Manifest.read(content) == manifest


@pytest.mark.parametrize("format", [2, "1", None])
def test_manifest_of_unknown_format_is_refused(format: Any) -> None:
    with pytest.raises(UnsupportedManifest, match=rf"has format {format!r}; this release reads format 1. Upgrade the service"):
        Manifest.read(make_manifest().to_json() | {"format": format})


@pytest.mark.parametrize("key", sorted(name for name, field in Manifest.model_fields.items() if field.is_required()))
def test_manifest_without_a_key_is_refused(key: str) -> None:
    content = make_manifest().to_json()
    del content[key]
    with pytest.raises(ArtifactCorrupt, match=key):
        Manifest.read(content)


def test_manifest_from_before_the_catalogue_of_encoders_is_read() -> None:
    content = make_manifest().to_json()
    del content["encoder"]
    assert Manifest.read(content).encoder is None


def test_manifest_with_an_unknown_key_is_read() -> None:
    assert Manifest.read(make_manifest().to_json() | {"added_later": 1})


def test_version_of_unknown_format_is_reported(client: TestClient, session: Session) -> None:
    make_version(session, model="newer", manifest=make_manifest().to_json() | {"format": 2})
    problem = client.get("/models/newer/versions/1").json()
    assert (problem["status"], problem["code"]) == (500, "unsupported_manifest")
    predicted = client.post("/predict", json={"model": "newer", "inputs": [[1, "f"]]}).json()
    assert predicted["code"] == "unsupported_manifest"
    assert "Upgrade the service" in predicted["detail"]
