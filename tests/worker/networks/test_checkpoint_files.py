"""Checkpoints for pretrained encoders: the files that are read, and downloads from a Hub on this machine."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.settings import Settings
from worker.networks.checkpoint_files import linked_checkpoint
from worker.protocol.progress import BadParameters

SHA = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"weights", "pytorch_model.bin": b"never read"}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "allowed" / "encoder"
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def links(checkpoint: Path) -> Path:
    return linked_checkpoint(str(checkpoint), Settings(_env_file=None, pretrained_folders=str(checkpoint.parent)))


def test_only_the_files_that_are_read_are_linked(checkpoint: Path) -> None:
    (checkpoint / "adapter_config.json").write_text("{}")
    (checkpoint / "modeling.py").write_text("raise SystemExit")
    assert {file.name for file in links(checkpoint).iterdir()} == {"config.json", "tokenizer.json", "model.safetensors"}


def test_link_to_a_file_outside_of_the_folder_is_rejected(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a password")
    (checkpoint / "tokenizer.json").unlink()
    (checkpoint / "tokenizer.json").symlink_to(tmp_path / "secret")
    with pytest.raises(BadParameters, match=r"tokenizer\.json .* outside of the allowed folders"):
        links(checkpoint)


def test_index_of_weights_in_another_folder_is_rejected(checkpoint: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "../private/model.safetensors"}}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BadParameters, match="names files that the checkpoint does not have"):
        links(checkpoint)


@pytest.mark.parametrize("name", ["/proc/self", "../private", "/etc", "owner/name"])
def test_forbidden_checkpoint_is_rejected_by_the_worker(checkpoint: Path, name: str) -> None:
    (checkpoint.parents[1] / "private").mkdir()
    settings = Settings(_env_file=None, pretrained_folders=str(checkpoint.parent), pretrained_hub="other/*")
    with pytest.raises(BadParameters, match="neither a checkpoint in a folder that this service allows"):
        linked_checkpoint(name, settings)


@dataclass
class Hub:
    """A Hub with one public repository, and the requests that it got."""

    url: str = ""
    requests: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.requests.append((self.path, self.headers.get("Authorization")))
            name = self.path.partition("?")[0].rpartition("/")[2]
            if self.path.startswith(f"/api/models/owner/public/tree/{SHA}"):
                tree = [{"type": "file", "path": name, "size": len(content), "oid": name} for name, content in FILES.items()]
                self._answer(200, json.dumps(tree).encode())
            elif self.path.startswith("/api/models/owner/public"):
                siblings = [{"rfilename": name, "size": len(content)} for name, content in FILES.items()]
                self._answer(200, json.dumps({"id": "owner/public", "sha": SHA, "siblings": siblings}).encode())
            elif self.path.startswith(f"/owner/public/resolve/{SHA}/") and name in FILES:
                self._answer(200, FILES[name])
            else:
                self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        do_HEAD = do_GET

        def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            commit = {"X-Repo-Commit": SHA, "ETag": f'"{len(content)}"', "Content-Length": str(len(content))}
            for name, value in (commit | (headers or {})).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def load(hub: Hub, folder: Path, name: str, max_bytes: int = 10**6) -> str:
    """Load a checkpoint in a process of its own, because the library reads the address of the Hub when it is imported."""
    code = (
        "import sys\n"
        "from app.settings import Settings\n"
        "from worker.networks.checkpoint_files import linked_checkpoint\n"
        "from worker.protocol.progress import BadParameters\n"
        "settings = Settings(_env_file=None, max_download_bytes=int(sys.argv[2]))\n"
        "try:\n"
        "    print(sorted(file.name for file in linked_checkpoint(sys.argv[1], settings).iterdir()))\n"
        "except BadParameters as error:\n"
        "    print(error)\n"
    )
    token = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder), "HF_TOKEN": "hf_secret", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", code, name, str(max_bytes)]
    ended = subprocess.run(command, env=os.environ | token, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_public_repository_is_downloaded_without_the_token_of_the_worker(tmp_path: Path) -> None:
    with running_hub() as hub:
        assert load(hub, tmp_path, "owner/public") == "['config.json', 'model.safetensors', 'tokenizer.json']\n"
        assert "neither a checkpoint" in load(hub, tmp_path, "owner/private")
    assert hub.requests
    assert {authorization for _, authorization in hub.requests} == {None}


def test_repository_that_is_too_large_is_not_downloaded(tmp_path: Path) -> None:
    with running_hub() as hub:
        assert "this service downloads at most 10" in load(hub, tmp_path, "owner/public", max_bytes=10)
    assert not any("/resolve/" in path for path, _ in hub.requests)
