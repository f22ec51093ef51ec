"""The report in a real browser: it loads nothing else, fits a phone, reads in light and dark, and prints.

axe-core looks at each page: contrast, names, roles, heads of tables and what can be reached by the keyboard.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from cae_core.verification.options import VerificationOptions
from cae_report.content import gather_content
from cae_report.dossier import open_dossier
from cae_report.judgement import open_case
from cae_report.judgement_content import gather_judgement
from cae_report.page import render_judgement, render_page, render_scan
from cae_report.scan import open_scan
from cae_report.scan_content import gather_scan
from tests.report.judgement_cases import judge_toy
from tests.report.report_cases import HOSTILE, calibration_of, colour_fingerprint, write_case
from tests.report.scan_cases import scan_toys

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


LONG = tuple(name.replace(" ", "_") * 5 for name in HOSTILE)
"""Names that cannot be broken at a space."""

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def verdict_page(folder: Path, kind: str) -> str:
    names = {"hostile names": LONG, "many classes": tuple(f"class number {i}" for i in range(100))}.get(kind, CLASSES)
    fingerprint = colour_fingerprint(names=names)
    files = write_case(
        folder,
        fingerprint=fingerprint,
        calibration=None if kind == "uncalibrated" else calibration_of(fingerprint),
        options=VerificationOptions(sequential=kind == "sequential"),
        suspect=names[0],
    )
    case = open_dossier(files.verdict, files.fingerprint)
    return render_page(case, gather_content(case, examples=12))


def judgement_page(folder: Path, _kind: str) -> str:
    kept = judge_toy(folder, name=LONG[0], claimant=LONG[1])
    case = open_case(kept.record, kept.fingerprint)
    return render_judgement(case, gather_judgement(case, examples=3))


def scan_page(folder: Path, _kind: str) -> str:
    rates = dict.fromkeys(LONG[:4], 0.9) | {f"models/other-{i}.onnx": 0.1 + i / 20 for i in range(4)}
    scanned = scan_toys(folder, rates, failed={LONG[4]: f"{LONG[4]}: this cannot be opened."})
    scan = open_scan(scanned.lines, scanned.fingerprint)
    return render_scan(scan, gather_scan(scan))


PAGES: dict[str, Callable[[Path, str], str]] = {
    **dict.fromkeys(("sequential", "uncalibrated", "hostile names", "many classes"), verdict_page),
    "judgement": judgement_page,
    "scan": scan_page,
}


@pytest.fixture(scope="module", params=PAGES)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of each kind."""
    folder = tmp_path_factory.mktemp("report")
    path = folder / "report.html"
    path.write_text(PAGES[request.param](folder, request.param), encoding="utf-8")
    return path


def opened(browser: Browser, report: Path, *, width: int = 1000, scheme: str = "light") -> tuple[Page, list[str]]:
    """Open the report, and return the page with everything that went wrong."""
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    wrong: list[str] = []

    def dismissed(dialog: Dialog) -> None:
        wrong.append(dialog.message)
        dialog.dismiss()

    page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", dismissed)
    page.on(
        "request",
        lambda asked: wrong.append(asked.url) if asked.url != report.as_uri() and asked.url[:5] != "data:" else None,
    )
    page.goto(report.as_uri())
    return page, wrong


def test_nothing_else_is_loaded_and_nothing_is_complained_about(browser: Browser, report: Path) -> None:
    page, wrong = opened(browser, report)
    page.evaluate("document.querySelectorAll('details').forEach(x => x.open = true)")
    assert wrong == []
    assert page.locator("h1").count() == 1
    assert page.evaluate("[...document.images].every(x => x.complete && x.naturalWidth > 0)")
    page.close()


def test_a_request_and_a_complaint_would_be_noticed(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<!DOCTYPE html><title>x</title><img src='other.png' alt=''><script>console.error('no')</script>")
    page, wrong = opened(browser, path)
    assert (tmp_path / "other.png").as_uri() in wrong
    assert "error: no" in wrong
    page.close()


@pytest.mark.parametrize("width", [380, 1000])
def test_no_horizontal_scrolling(browser: Browser, report: Path, width: int) -> None:
    page, _ = opened(browser, report, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(x => x.open = true)")
    scrolled, shown = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert scrolled <= shown
    page.close()


def luminance(page: Page, script: str) -> float:
    """Return the relative luminance (WCAG) of a CSS colour ``rgb(…)``."""
    red, green, blue = (
        x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4
        for x in (int(part) / 255 for part in str(page.evaluate(script)).removeprefix("rgb(").rstrip(")").split(","))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_figures_read_in_light_and_dark(browser: Browser, report: Path, scheme: str) -> None:
    page, _ = opened(browser, report, scheme=scheme)
    ground = luminance(page, "getComputedStyle(document.documentElement).backgroundColor")
    assert (ground > 0.5) == (scheme == "light")
    for script, least in (
        ("getComputedStyle(document.querySelector('p')).color", 7.0),
        ("getComputedStyle(document.querySelector('.note')).color", 4.5),
        ("getComputedStyle(document.querySelector('svg text')).fill", 7.0),
        ("getComputedStyle(document.querySelector('svg use')).stroke", 3.0),
    ):
        found = sorted([luminance(page, script), ground])
        assert (found[1] + 0.05) / (found[0] + 0.05) >= least, script
    page.close()


def test_it_prints_with_every_list_open(browser: Browser, report: Path) -> None:
    page, _ = opened(browser, report, scheme="dark")
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") >= 2
    numbers = page.evaluate(
        "[...document.styleSheets].flatMap(x => [...x.cssRules]).filter(x => x.media?.mediaText === 'print')"
        ".flatMap(x => [...x.cssRules]).filter(x => x instanceof CSSPageRule).map(x => x.cssText).join()"
    )
    assert "counter(pages)" in numbers, "the browser has understood it"
    page.emulate_media(media="print", color_scheme="dark")
    assert luminance(page, "getComputedStyle(document.documentElement).backgroundColor") == pytest.approx(1)
    assert all(page.evaluate("[...document.querySelectorAll('details table')].map(x => x.offsetHeight > 0)"))
    page.close()


SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def looked_at_by_axe(page: Page) -> dict[str, list[dict[str, Any]]]:
    """Return its rules: of ``violations`` those that are broken, with the nodes."""
    return cast("dict[str, list[dict[str, Any]]]", Axe().run(page).response)


def test_axe_finds_nothing(browser: Browser, report: Path) -> None:
    page, _ = opened(browser, report, width=600)
    page.evaluate("document.querySelectorAll('details').forEach(x => x.open = true)")
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        found = looked_at_by_axe(page)
        assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found["violations"]] == [], scheme
        assert "color-contrast" in {rule["id"] for rule in found["passes"]}
    page.close()


def test_axe_would_find_something(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<!DOCTYPE html><html><body><p style='color: #999; background: #aaa'>grey</p><img src='data:,'>")
    page, _ = opened(browser, path)
    found = {fault["id"] for fault in looked_at_by_axe(page)["violations"]}
    assert {"color-contrast", "document-title", "html-has-lang", "image-alt"} <= found
    page.close()


def test_everything_that_opens_or_scrolls_is_reached_by_the_keyboard(browser: Browser, report: Path) -> None:
    page, _ = opened(browser, report)
    waiting = page.locator("summary, .scroll").count()
    for _ in range(waiting):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            "[document.activeElement.matches('summary, .scroll'), "
            "getComputedStyle(document.activeElement).outlineStyle !== 'none']"
        )
        assert seen == [True, True], "the focus can be seen"
    assert waiting
    if page.locator("summary").count():
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.parentElement.open"), "a list opens by the keyboard"
    page.close()


A4_INSIDE_MARGINS = 673
"""Pixels: 210 mm less twice the 16 mm of the style sheet, at 96 in an inch."""


def test_no_line_is_clipped_on_a4(browser: Browser, report: Path) -> None:
    page = browser.new_page(viewport={"width": A4_INSIDE_MARGINS, "height": 1000})
    page.emulate_media(media="print")
    page.goto(report.as_uri())
    beyond = page.evaluate(
        "[...document.querySelectorAll('body *')].filter(x => x.getBoundingClientRect().right > innerWidth + 1"
        " || (x.scrollWidth > x.clientWidth + 1 && getComputedStyle(x).overflowX !== 'visible'))"
        ".map(x => x.outerHTML.slice(0, 200))"
    )
    assert beyond == []
    page.close()
