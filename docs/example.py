"""Keep the report of an experiment as the example of the docs, and draw the picture in README.

    python docs/example.py reports/demo

writes ``docs/example/index.html``, the report without links to files that are not kept, and ``docs/example.png``, its
first screen. Needs Debian's chromium. For photographs that may be published: the demo's are generated.
"""

import argparse
import io
import re
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from dr_lib.storage.files import write_bytes, write_text
from dr_lib.storage.folders import ExperimentFolder

DOCS = Path(__file__).parent
WIDTH, HEIGHT = 1280, 2200
"""Of the picture, px: as far as the first screen's curves and matrix go."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("experiment", type=Path)
    experiment = ExperimentFolder(arguments.parse_args().experiment)
    page = without_lost_links(experiment.report.read_text(encoding="utf-8"))
    (DOCS / "example").mkdir(exist_ok=True)
    write_text(DOCS / "example" / "index.html", page)
    write_bytes(DOCS / "example.png", first_screen(DOCS / "example" / "index.html"))


def without_lost_links(page: str) -> str:
    """Return the page with the words alone of each link to another file of the experiment."""
    return re.sub(r'<a [^>]*?href="(?!#|https?:|data:)[^"]*"[^>]*>(.*?)</a>', r"\1", page, flags=re.DOTALL)


def first_screen(page: Path) -> bytes:
    """Return the top of a page as a PNG of few colors."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        view.goto(page.absolute().as_uri())
        shot = Image.open(io.BytesIO(view.screenshot()))
        browser.close()
    stream = io.BytesIO()
    shot.convert("RGB").quantize(96).save(stream, "PNG", optimize=True)
    return stream.getvalue()


if __name__ == "__main__":
    main()
