"""The report in a real browser: nothing leaves the machine, nothing breaks, nothing scrolls sideways."""

from pathlib import Path

import pytest
from experiment_factory import built_report

from dr_lib.runs import Experiment

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.notebooks,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="/usr/bin/chromium is missing: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return Experiment(built_report(tmp_path_factory.getbasetemp())).report


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=options)
        yield chromium
        chromium.close()


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def opened(request, browser, report):
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.requests, page.complaints = [], []
    page.on("request", lambda sent: page.requests.append(sent.url))
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("dialog", lambda dialog: page.complaints.append(dialog.message))
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
    page.goto(report.as_uri())
    page.scheme = scheme
    yield page
    context.close()


def test_page_opens_alone_fits_and_speaks(opened, report):
    assert [url for url in opened.requests if not url.startswith("data:")] == [report.as_uri()]
    assert opened.complaints == []
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert opened.evaluate("[...document.querySelectorAll('svg, img')].length") > 20
    silent = "[...document.querySelectorAll('svg, img')].filter(e => !(e.getAttribute('aria-label') || e.alt)).length"
    assert opened.evaluate(silent) == 0
    # Nothing but what scrolls within itself reaches beyond the window.
    beyond = """[...document.querySelectorAll('main *')].filter(e => !e.closest('.wide, .formula, pre, svg')
        && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
    assert opened.evaluate(beyond) == []


def test_text_stands_out_from_its_ground_in_both_schemes(opened):
    """WCAG AA: 4.5 to 1 for the colours that text has, on the page and on cards."""
    ratio = """() => {
      const probe = document.body.appendChild(document.createElement('i'));
      const luminance = name => {
        probe.style.color = `var(${name})`;
        const parts = getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255)
          .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
      };
      const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const found = {};
      for (const ground of ['--bg', '--card'])
        for (const ink of ['--fg', '--dim', '--acc', '--maj', '--bad', '--kw', '--str', '--num', '--com'])
          found[ink + ' on ' + ground] = contrast(luminance(ink), luminance(ground));
      probe.remove();
      return found;
    }"""
    too_low = {pair: contrast for pair, contrast in opened.evaluate(ratio).items() if contrast < 4.5}
    assert too_low == {}
    dark = opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 29)"
    assert dark == (opened.scheme == "dark")


def test_figures_take_the_page_colours(opened):
    fills = opened.evaluate(
        "[...new Set([...document.querySelectorAll('figure svg text')].map(t => getComputedStyle(t).fill))]"
    )
    expected = {"light": "rgb(29, 35, 48)", "dark": "rgb(231, 233, 238)"}
    other = {"light": "dark", "dark": "light"}
    assert expected[opened.scheme] in fills and expected[other[opened.scheme]] not in fills


def test_letters_in_figures_are_legible(opened):
    smallest = opened.evaluate("""Math.min(...[...document.querySelectorAll('figure svg')].map(svg => {
      const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
      return Math.min(...[...svg.querySelectorAll('text')].map(t => parseFloat(getComputedStyle(t).fontSize) * scale));
    }))""")
    assert smallest >= 9.5
