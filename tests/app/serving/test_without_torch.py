"""The server starts and predicts in a process in which torch cannot be imported."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.db.session import SessionFactory, make_engine
from app.settings import Settings
from app.storage import Storage
from tests.support.databases import migrate
from tests.support.paths import ROOT
from tests.support.published_models import EXAMPLES, export_network, store_version

SERVE = '''
import importlib.machinery, json, sys

class Blocked:
    """A finder whose modules fail on import only: polars looks for torch without an import."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "onnx", "onnxscript", "sklearn", "worker"}:
            return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        raise ImportError(f"{spec.name} must not be imported by the app")

sys.meta_path.insert(0, Blocked())

from fastapi.testclient import TestClient
from app.main import create_app

with TestClient(create_app(), "http://localhost") as client:
    assert client.get("/openapi.json").status_code == 200
    answers = [client.post("/predict", json=body) for body in json.load(sys.stdin)]
    assert "torch" not in sys.modules
    print(json.dumps([answer.json() for answer in answers]))
'''


def test_server_starts_and_predicts_without_torch(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", _env_file=None)
    migrate(settings.database)
    database = make_engine(settings.database)
    expected, bodies = [], []
    for modality, inputs in {"text": EXAMPLES["text"], "tabular": EXAMPLES["tabular"].rows()}.items():
        (folder := tmp_path / modality).mkdir()
        exported = export_network(modality, ["a", "b"], folder)
        with SessionFactory(database)() as session:
            store_version(session, Storage(settings.storage), exported, modality)
        expected.append(exported.probabilities(EXAMPLES[modality]).max(axis=1))
        bodies.append({"model": modality, "inputs": inputs})
    database.dispose()

    environment = {"ISTHMUS_DATA_DIR": str(settings.data_dir), "PATH": "", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", SERVE]
    served = subprocess.run(command, cwd=ROOT, env=environment, input=json.dumps(bodies), text=True, capture_output=True)

    assert served.returncode == 0, served.stderr
    for answer, row in zip(json.loads(served.stdout.splitlines()[-1]), expected, strict=True):
        confidences = [prediction["confidence"] for prediction in answer["predictions"]]
        assert confidences == pytest.approx(np.asarray(row).tolist(), abs=1e-5)
