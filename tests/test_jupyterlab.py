"""JupyterLab for real: started, opened in a browser, notebooks run by its menu, results read from the page.

The settings below keep JupyterLab from asking the network for news, updates and extensions.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from data_folders import eyes, write_course, write_photographs

from dr_lib import GRADE_NAMES
from dr_lib.storage.files import read_json, write_json
from dr_lib.storage.folders import ExperimentFolder

CHROMIUM = Path("/usr/bin/chromium")
NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
PATIENCE = 180
"""Seconds to wait for a server, or for a notebook to be run: ten times what they take on two cores of their own."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="/usr/bin/chromium is missing: apt-get install chromium"),
]


def copied(name, folder, /, **values):
    """Copy a notebook with other values in its cell of parameters."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    for key, value in values.items():
        line = f"{key} = {value!r}"
        cell.source, count = re.subn(rf"(?m)^{key} = .*$", line, cell.source)
        cell.source += "" if count else f"\n{line}"
    folder.mkdir(exist_ok=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder of small photographs, with notebooks that train on them for one epoch."""
    folder = tmp_path_factory.mktemp("project")
    training, testing = eyes(range(1, 11)), eyes(range(11, 16))
    write_course(folder / "photographs", training, testing)
    write_photographs(folder / "photographs", [*training, *testing])
    copied(
        "train", folder / "notebooks", data_dir="photographs", cache_dir="cache", resize=40, image_size=32,
        batch_size=8, epochs=1, validation_share=0.2, name="small",
    )  # fmt: skip
    copied("explore", folder / "notebooks", experiment_dir="reports/manual", run="small", image="11_left")
    return folder


@pytest.fixture(scope="module")
def lab(project, tmp_path_factory):
    """JupyterLab on the project's notebooks as ``make lab`` starts it; its address, token included."""
    own = tmp_path_factory.mktemp("jupyter")
    write_json(
        own / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings",
        {"fetchNews": "false", "checkForUpdates": False},
    )
    folders = {
        "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython",
    }  # fmt: skip
    environment = os.environ | {name: str(own / folder) for name, folder in folders.items()}
    environment |= {"OMP_WAIT_POLICY": "PASSIVE", "JUPYTER_PLATFORM_DIRS": "1"}
    command = [
        sys.executable, "-m", "jupyterlab", "notebooks", "--no-browser", "--ServerApp.port=0",
        "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    command += ["--allow-root"] * (os.geteuid() == 0)
    log = own / "log"
    with log.open("wb") as stream:
        server = subprocess.Popen(command, cwd=project, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    try:
        facts = own / "runtime" / f"jpserver-{server.pid}.json"
        since = time.monotonic()
        while not facts.exists() or not facts.read_text().strip():
            assert server.poll() is None and time.monotonic() - since < PATIENCE, log.read_text()
            time.sleep(0.2)
        found = read_json(facts)
        yield f"http://127.0.0.1:{found['port']}{found['base_url']}", found["token"]
    finally:
        server.terminate()  # ends its kernels, too
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


@pytest.fixture(scope="module")
def page(lab):
    """A page that can reach JupyterLab and nothing else, with what it asked for and what it complained of."""
    from playwright.sync_api import sync_playwright

    address, _ = lab
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=options)
        page = chromium.new_page(viewport={"width": 1366, "height": 768})
        page.set_default_timeout(1000 * PATIENCE)
        page.outside, page.complaints = [], []

        def let(route):
            if route.request.url.startswith((address, "data:", "blob:")):
                return route.continue_()
            page.outside.append(route.request.url)
            return route.abort()

        page.route("**/*", let)
        page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        yield page
        chromium.close()


def run_all(page, lab, name):
    """Open a notebook, run it by the menu and wait until every cell has a number and the kernel is idle."""
    address, token = lab
    page.goto(f"{address}lab/tree/{name}.ipynb?token={token}&reset")
    page.get_by_text("| Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.wait_for_function(
        """() => {
          const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].map(e => e.textContent);
          return prompts.length > 3 && prompts.every(text => /[0-9]/.test(text));
        }"""
    )
    page.get_by_text("| Idle").wait_for()
    wrong = page.locator(".jp-OutputArea-output[data-mime-type*='error']")
    assert wrong.all_text_contents() == []


def fine(page):
    assert page.complaints == [] and page.outside == []
    return True


@pytest.fixture(scope="module")
def trained(page, lab, project):
    """The run that ``train.ipynb`` has trained in JupyterLab, with the text of its page."""
    run_all(page, lab, "train")
    return ExperimentFolder(project / "reports" / "manual").run("small"), page.locator(".jp-Notebook").text_content()


@pytest.fixture(scope="module")
def exploring(page, lab, trained):
    """``explore.ipynb``, run in JupyterLab on what was trained there; its panel."""
    run_all(page, lab, "explore")
    panel = page.locator(".jp-OutputArea-output .widget-vbox").first
    panel.scroll_into_view_if_needed()
    return panel


def answer(run, image):
    row = run.read_predictions().set_index("image").loc[image]
    named = lambda grade: f"{grade} {GRADE_NAMES[grade]}"  # noqa: E731
    sure = f"{100 * row[f'p{row.predicted}']:.1f}%"
    return f"{image}. Grade {named(row.grade)}, answered {named(row.predicted)} with a probability of {sure}"


@pytest.mark.slow
def test_train_shows_the_accuracy_that_it_writes_down(page, trained):
    run, text = trained
    test = read_json(run.metrics)["test"]
    assert f"testing accuracy {100 * test['accuracy']:.4f}, quadratic weighted kappa {test['kappa']:.4f}" in text
    assert f"{test['photographs']:,} photographs of {test['patients']:,} patients, tested at epoch 1" in text
    # Of the epochs, which the next cell has in numbers, no line is left.
    assert "epoch 1/1: loss" not in text
    assert fine(page)


@pytest.mark.slow
def test_explore_shows_the_answer_of_predictions_csv(page, trained, exploring):
    expected = answer(trained[0], "11_left")
    assert expected in exploring.text_content()
    # Once more without the panel, for who reads the notebook without a kernel.
    row = trained[0].read_predictions().set_index("image").loc["11_left"]
    assert f"{row[f'p{row.predicted}']:.3f}" in page.locator(".jp-Notebook").text_content()
    assert fine(page)


def test_another_photograph_is_chosen(page, trained, exploring):
    exploring.get_by_label("Name has").fill("12_")
    page.wait_for_function("document.querySelectorAll('.widget-select select option').length == 2")
    exploring.get_by_label("Photograph").select_option(index=1)
    exploring.get_by_text("12_right. Grade").wait_for()
    assert answer(trained[0], "12_right") in exploring.text_content()
    exploring.get_by_alt_text("12_left, grade").wait_for()  # the other eye
    exploring.get_by_label("Name has").fill("")
    page.wait_for_function("document.querySelectorAll('.widget-select select option').length == 10")
    assert fine(page)


def test_sliders_change_the_pictures(page, trained, exploring):
    slider = lambda name: exploring.locator(".widget-slider", has_text=name).locator(".noUi-handle")  # noqa: E731
    exploring.get_by_label("Photograph").select_option(index=0)
    predicted = int(trained[0].read_predictions().set_index("image").loc["11_left"].predicted)
    exploring.get_by_text("11_left. Grade").wait_for()
    other, key = (predicted + 1, "ArrowRight") if predicted < 4 else (predicted - 1, "ArrowLeft")
    heat = exploring.get_by_alt_text(f"11_left with Grad-CAM of grade {other}")
    assert heat.count() == 0
    slider("Explain").press(key)
    heat.wait_for()
    before = heat.get_attribute("src")
    slider("Heat").press("Home")
    page.wait_for_function(
        "([image, before]) => document.querySelector(`img[alt='${image}']`).src != before",
        arg=[f"11_left with Grad-CAM of grade {other}", before],
    )
    near = exploring.get_by_alt_text(re.compile("training photograph of grade"))
    near.nth(4).wait_for()
    assert near.count() == 5
    slider("How many").press("ArrowRight")
    near.nth(5).wait_for()
    assert near.count() == 6
    assert fine(page)


def test_what_make_lab_calls_is_what_is_tested():
    makefile = (NOTEBOOKS.parent / "Makefile").read_text()
    assert "jupyter lab notebooks" in makefile and shutil.which("jupyter", path=Path(sys.executable).parent)
