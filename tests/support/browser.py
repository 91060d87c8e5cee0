"""Chromium, driven by Playwright: it notes requests to other machines and errors on the console."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Locator, Page, Request, expect, sync_playwright

from tests.support.paths import ROOT

SCREENSHOTS = ROOT / "build" / "screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MILLISECONDS = 30_000
"""Long enough for a busy machine; what is waited for usually takes a second."""
SERIOUS = ("serious", "critical")
_NEW_FILES = """files => {
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(new File([file.text], file.name));
  return transfer;
}"""


@dataclass
class Browser:
    """A page of the UI at `url`. `problems` are what the browser reports: foreign requests and console errors."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._check_request)
        self.page.on("console", self._check_console)
        self.page.on("pageerror", lambda error: self.problems.append(f"error in the page: {error}"))
        self.page.on("dialog", lambda dialog: dialog.accept())

    def open(self, address: str = "/") -> Page:
        """Go to a screen, such as `/jobs/new`."""
        self.page.goto(f"{self.url}/ui/#{address}")
        return self.page

    def drop(self, target: Locator, *files: Path) -> None:
        """Drop files on an element, as a user does with the mouse."""
        described = [{"name": file.name, "text": file.read_text()} for file in files]
        transfer = self.page.evaluate_handle(_NEW_FILES, described)
        target.dispatch_event("drop", {"dataTransfer": transfer})

    def inspect(self, name: str) -> None:
        """Take a screenshot, and assert that axe finds nothing serious and that the browser has reported nothing."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
        violations = [one for one in Axe().run(self.page).response["violations"] if one["impact"] in SERIOUS]
        assert not violations, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in violations]
        assert not self.problems, self.problems

    def _check_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.hostname != "127.0.0.1":
            self.problems.append(f"request to {request.url}")

    def _check_console(self, message: ConsoleMessage) -> None:
        is_of_status = "Failed to load resource" in message.text  # an error response that the test expects
        if message.type == "error" and not is_of_status:
            self.problems.append(message.text)


@contextmanager
def browser(url: str, width: int = 1200) -> Iterator[Browser]:
    """Start Chromium for the service at `url`."""
    executable = next((path for path in map(shutil.which, BROWSERS) if path), None)
    assert executable, "The tests of the web UI need Chromium: sudo apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        page = started.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(WAIT_MILLISECONDS)
        expect.set_options(timeout=WAIT_MILLISECONDS)
        yield Browser(page, url)
        started.close()
