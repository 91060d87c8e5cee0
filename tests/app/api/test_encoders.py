"""The choice of a pretrained encoder for a job, and the catalogue of encoders."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.encoders import catalogue
from app.encoders.catalogue import CATALOGUE, PretrainedEncoder
from tests.support.factories import make_dataset

MISSING = PretrainedEncoder("absent", "image", "fast", 1, "MIT", package="no_such_package", requirement="no-such-package==1")
FROZEN = {"network": "transformers", "pretrained": "efficientnet-lite0", "frozen": True, "max_length": 128, "head": "bottleneck"}


def submit(client: TestClient, session: Session, side: int = 128, **body: Any) -> dict[str, Any]:
    profile = {"channels": 3, "height": [60, side], "width": [60, side]}
    source = make_dataset(session, modality="image", format="zip", profile=profile)
    session.commit()
    answer = client.post(
        "/jobs", json={"model": "office", "source": str(source.id), "params": {"algorithm": "fine_tune"}, **body}
    )
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def test_large_images_start_from_an_installed_encoder(client: TestClient, session: Session) -> None:
    job = submit(client, session)
    assert job["base"] == FROZEN
    assert job["warnings"] == []


def test_small_images_start_from_the_default_network(client: TestClient, session: Session) -> None:
    assert submit(client, session, side=48)["base"]["network"] == "vgg"


def test_job_without_an_encoder_names_the_command(client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "CATALOGUE", (MISSING,))
    for base in (None, {"pretrained": "auto"}):
        job = submit(client, session, base=base)
        assert job["base"]["network"] == "vgg"
        assert [warning["code"] for warning in job["warnings"]] == ["no_encoder"]
        assert "pip install 'isthmus[encoders]'" in job["warnings"][0]["message"]


@pytest.mark.parametrize("base", [{"pretrained": "auto", "speed": "accurate"}, {"pretrained": "efficientnet-lite0"}])
def test_named_encoder_is_frozen(client: TestClient, session: Session, base: dict[str, Any]) -> None:
    assert submit(client, session, side=32, base=base)["base"] == FROZEN


def test_network_of_the_job_may_train_the_encoder(client: TestClient, session: Session) -> None:
    base = FROZEN | {"frozen": False}
    assert submit(client, session, base=base)["base"] == base


def test_catalogue_lists_size_and_licence(client: TestClient) -> None:
    entries = {entry["id"]: entry for entry in client.get("/encoders").json()["data"]}
    assert set(entries) == {encoder.id for encoder in CATALOGUE}
    lite = entries["efficientnet-lite0"]
    assert (lite["modality"], lite["speed"], lite["licence"], lite["is_installed"]) == ("image", "fast", "Apache-2.0", True)
