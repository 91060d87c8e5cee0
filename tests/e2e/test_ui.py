"""The web UI in a real browser, against `isthmus up` with real data. Screenshots are in `build/screenshots`."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from scripts import build_ui
from tests.support.browser import Browser, browser
from tests.support.embedded_service import Embedded, up

JOB_MILLISECONDS = 180_000
QUICK = {"algorithm": "dann", "epochs": 2, "min_steps": 40}


def write_table(path: Path, rows: int, *, shift: float, labelled: bool) -> Path:
    random = np.random.default_rng(int(shift * 10))
    ill = random.integers(0, 2, rows)
    pressure, age = 110 + 25 * ill + random.normal(0, 8, rows) + shift, random.normal(50, 12, rows) + 8 * ill
    lines = [
        f"{p:.1f},{a:.0f}" + (f",{'ill' if y else 'well'}" if labelled else "")
        for p, a, y in zip(pressure, age, ill, strict=True)
    ]
    path.write_text("\n".join(["pressure,age" + (",diagnosis" if labelled else ""), *lines]))
    return path


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    build_ui.main()
    with up(tmp_path_factory.mktemp("ui"), train_threads="1") as embedded:
        yield embedded


@pytest.fixture(scope="module")
def ui(service: Embedded) -> Iterator[Browser]:
    with browser(str(service.client.http.base_url).rstrip("/")) as opened:
        yield opened


@pytest.fixture(scope="module")
def trained(service: Embedded, ui: Browser, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Upload two files by drag and drop, submit a job in the form and watch it to the end; return the model's name."""
    folder = tmp_path_factory.mktemp("files")
    source = write_table(folder / "first-ward.csv", 400, shift=0, labelled=True)
    target = write_table(folder / "second-ward.csv", 200, shift=12, labelled=False)
    page = ui.open("/datasets")
    ui.drop(page.locator(".drop"), source, target)
    expect(page.get_by_role("link", name="first-ward")).to_be_visible()
    expect(page.get_by_role("link", name="second-ward")).to_be_visible()
    ui.inspect("datasets")
    page.get_by_role("link", name="first-ward").click()
    page.get_by_label("Column with the labels").select_option("diagnosis")
    page.get_by_role("button", name="Read it as labels").click()
    expect(page.get_by_role("heading", name="Classes")).to_be_visible()

    page = ui.open("/jobs/new")
    page.get_by_label("Name of the model").fill("diagnosis")
    page.get_by_label("Source (labelled)").select_option(label="first-ward (400 rows)")
    page.get_by_label("Target (to adapt to)").select_option(label="second-ward (200 rows)")
    page.get_by_text("Method: auto").click()
    page.get_by_label("Method", exact=True).select_option("dann")
    page.get_by_label("epochs", exact=True).fill("2")
    page.get_by_label("min_steps", exact=True).fill("40")
    page.get_by_label("min_steps", exact=True).blur()
    page.get_by_text("The same with curl").click()
    expect(page.get_by_text('"min_steps":40').first).to_be_visible()
    ui.inspect("new-job")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name="Job for diagnosis")).to_be_visible()
    service.client.submit(model="diagnosis", source="first-ward", target="second-ward", params=QUICK | {"seed": 1})
    expect(page.get_by_role("button", name="Report of version 1")).to_be_visible(timeout=JOB_MILLISECONDS)
    expect(page.locator(".curves canvas")).to_be_visible()
    page.get_by_text("Log", exact=True).click()
    expect(page.locator(".log")).to_contain_text("phase: exporting")
    ui.inspect("job")
    return "diagnosis"


def test_rows_with_errors_are_shown(ui: Browser, tmp_path: Path) -> None:
    broken = tmp_path / "broken.csv"
    broken.write_text("age,label\n30,no\n40,yes,7\n50,no\n")
    page = ui.open("/datasets")
    ui.drop(page.locator(".drop"), broken)
    expect(page.get_by_role("heading", name="broken.csv was not accepted")).to_be_visible()
    expect(page.get_by_role("cell", name="40,yes,7")).to_be_visible()
    ui.inspect("errors")


def test_home_and_dataset_show_what_exists(ui: Browser, trained: str) -> None:
    page = ui.open("/")
    expect(page.get_by_role("link", name=f"{trained} version").first).to_be_visible()
    expect(page.get_by_text(re.compile(r"\d busy, \d idle"))).to_be_visible()
    ui.inspect("home")
    page = ui.open("/datasets")
    page.get_by_role("link", name="second-ward").click()
    expect(page.get_by_role("cell", name="pressure").first).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("rows 21 to 40 of 200")).to_be_visible()
    page.get_by_label("Other dataset").select_option(label="first-ward")
    expect(page.get_by_role("region", name="Columns of both datasets")).to_be_visible()
    ui.inspect("dataset")


def test_columns_and_options_of_a_dataset_are_changed(ui: Browser, tmp_path: Path) -> None:
    table = tmp_path / "third-ward.csv"
    table.write_text("number,pressure,age,diagnosis\n" + "\n".join(f"{n},{n % 7},{n % 50},{'ab'[n % 2]}" for n in range(100)))
    page = ui.open("/datasets")
    ui.drop(page.locator(".drop"), table)
    expect(page.get_by_role("heading", name="third-ward")).to_be_visible()
    page.get_by_role("button", name="Ignore pressure").click()
    expect(page.get_by_role("button", name="Learn pressure")).to_be_visible()
    page.get_by_role("button", name="Learn pressure").click()
    expect(page.get_by_role("button", name="Ignore pressure")).to_be_visible()
    page.get_by_text("Options of reading").click()
    page.get_by_label("label", exact=True).fill("nothing")
    page.get_by_role("button", name="Read the file again").click()
    expect(page.get_by_role("alert")).to_contain_text("nothing")
    page.get_by_label("label", exact=True).fill("diagnosis")
    page.get_by_role("button", name="Read the file again").click()
    expect(page.get_by_role("heading", name="Classes")).to_be_visible()
    ui.inspect("dataset-options")


def test_report_explains_the_version_and_is_a_file(service: Embedded, ui: Browser, trained: str) -> None:
    page = ui.open(f"/models/{trained}/versions/1")
    expect(page.locator(".summary")).to_contain_text("target accuracy")
    for title in ("Accuracy", "Adapted against source-only", "Lineage", "Downloads"):
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    ui.inspect("report")
    file = service.client.http.get(f"/models/{trained}/versions/1/report")
    assert file.headers["content-type"].startswith("text/html")
    assert "Expected target accuracy" in file.text
    assert not re.search(r"(src|href)=", file.text)


def test_rows_are_labelled_by_keys(service: Embedded, ui: Browser, trained: str) -> None:
    page = ui.open(f"/models/{trained}/versions/1")
    page.get_by_role("button", name="Measure with labels").click()
    expect(page.get_by_role("heading", name=f"Labels for {trained} version 1")).to_be_visible()
    page.keyboard.press("1")
    expect(page.get_by_text("1 of 30 rows have a label.")).to_be_visible()
    page.get_by_role("button", name="Unclear").click()
    expect(page.get_by_text("2 of 30 rows have a label.")).to_be_visible()
    ui.inspect("labels")


def test_lasso_opens_rows_of_the_embedding(ui: Browser, trained: str) -> None:
    page = ui.open(f"/models/{trained}/versions/1/embedding")
    plot = page.locator("canvas.scatter").first
    box = plot.bounding_box()
    assert box is not None
    corners = [(3, 3), (box["width"] - 3, 3), (box["width"] - 3, box["height"] - 3), (3, box["height"] - 3)]
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.mouse.down()
    for x, y in [*corners[1:], corners[0]]:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()
    expect(page.get_by_role("heading", name=re.compile(r"\d+ selected, \d+ of them in the target"))).to_be_visible()
    page.get_by_role("button", name=re.compile(r"Show \d+ rows")).click()
    expect(page.get_by_role("region", name="Examples").get_by_role("row").nth(1)).to_be_visible()
    page.get_by_label("Colour by").select_option("disagreement")
    ui.inspect("embedding")


def test_versions_are_compared_and_promoted(service: Embedded, ui: Browser, trained: str) -> None:
    for job in service.client.http.get("/jobs").json()["data"]:
        service.client.wait(job["id"])
    page = ui.open(f"/models/{trained}")
    page.get_by_label("Compare version 1").check()
    page.get_by_label("Compare version 2").check()
    page.get_by_role("button", name="Compare 2 versions").click()
    expect(page.get_by_role("row", name=re.compile("^seed 0 1"))).to_be_visible()
    page.get_by_role("button", name="Predict the first 50 rows").click()
    expect(page.get_by_text(re.compile(r"\d+ of 50 rows differ"))).to_be_visible()
    page.get_by_role("button", name="Promote version 2").click()
    expect(page.get_by_text("in production")).to_be_visible()
    ui.inspect("compare")
    assert service.client.http.get(f"/models/{trained}").json()["aliases"][0]["version"] == 2


def test_playground_predicts_a_row(ui: Browser, trained: str) -> None:
    page = ui.open(f"/playground?model={trained}")
    page.get_by_label("pressure").fill("150")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("status", name="Prediction").get_by_role("heading")).to_contain_text("ill")
    ui.inspect("playground")
    page.get_by_label("pressure").fill("not a number")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("alert")).to_be_visible()


def test_narrow_dark_screen_needs_no_sideways_scrolling(ui: Browser, trained: str) -> None:
    page = ui.page
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 380, "height": 800})
    for name, address in {"phone-home": "/", "phone-report": f"/models/{trained}/versions/1"}.items():
        ui.open(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_text("target accuracy").first).to_be_visible()
        ui.inspect(name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 380
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1200, "height": 900})


def test_settings_list_workers_and_storage(ui: Browser) -> None:
    page = ui.open("/settings")
    expect(page.get_by_role("cell", name="idle").first).to_be_visible()
    ui.inspect("settings")
