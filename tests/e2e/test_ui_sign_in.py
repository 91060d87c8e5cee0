"""The sign-in of the web UI in a real browser, against a server that needs keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from app.main import create_app
from app.settings import Settings
from scripts import build_ui
from tests.support.api_keys import make_key
from tests.support.browser import browser
from tests.support.list_queue import ListQueue
from tests.support.live_server import address, live
from tests.support.quick_settings import data_folder


@pytest.fixture
def protected(tmp_path: Path, empty_sqlite: Path) -> Iterator[TestClient]:
    build_ui.main()
    settings = Settings(data_dir=data_folder(tmp_path, empty_sqlite), auth="required", _env_file=None)
    with TestClient(create_app(settings, ListQueue())) as client:
        yield client


def test_key_opens_the_ui_until_the_sign_out(protected: TestClient) -> None:
    key = make_key(protected.app.state.sessions, "admin")  # type: ignore[attr-defined]
    with live(protected) as server, browser(f"http://127.0.0.1:{address(server)[1]}") as ui:
        page = ui.open("/datasets")
        page.get_by_label("API key").fill("isk_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("not valid")
        page.get_by_label("API key").fill(key)
        ui.inspect("sign-in")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("There is no dataset yet.")).to_be_visible()
        assert page.evaluate("document.cookie") == ""
        ui.open("/settings")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_visible()
