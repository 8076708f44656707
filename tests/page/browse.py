"""Uses the page as people do: `python browse.py URL CHROMIUM FOLDER`.

It runs with the interpreter of `build/page/venv`, where nothing of Modelyard is installed.
"""

import sys
from pathlib import Path

from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
SERIOUS = ("serious", "critical")


def main(url: str, chromium: str, folder: Path) -> None:
    """Print what happened; an AssertionError says what did not."""
    faults: list[str] = []

    def watch(page: Page) -> Page:
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        return page

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = watch(browser.new_page(viewport={"width": 1200, "height": 900}))
        page.goto(url)
        print(f"first paint after {page.evaluate(FIRST_PAINT):.0f} ms")
        use(page)
        check_access(page)
        page.screenshot(path=folder / "light.png", full_page=True)
        page.emulate_media(color_scheme="dark")
        check_access(page)
        page.screenshot(path=folder / "dark.png", full_page=True)
        page.set_viewport_size({"width": 400, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        page.screenshot(path=folder / "narrow.png", full_page=True)
        use_without_scripts(browser.new_context(java_script_enabled=False).new_page(), url)
        browser.close()
    assert faults == [], faults
    print("every step gave the expected result")


def use(page: Page) -> None:
    """Filter by typing, load and unload by button, and call a model; all without a reload."""
    rows = page.locator("#rows tbody tr")
    page.fill("#q", "0042")
    expect(rows).to_have_count(11, timeout=30_000)
    page.click("button:has-text('Warm') >> nth=0")
    unload = page.locator("button:has-text('Unload')")
    expect(unload).to_have_count(1, timeout=30_000)
    unload.click()
    expect(unload).to_have_count(0, timeout=30_000)
    page.click("#rows tbody th a >> nth=1")
    page.click("#try button", timeout=30_000)
    expect(page.locator(".answer")).to_contain_text("outputs", timeout=30_000)


def use_without_scripts(page: Page, url: str) -> None:
    """Filter and load with forms alone."""
    page.goto(url)
    page.fill("#q", "0043")
    page.click("form[role=search] button")
    page.click("button:has-text('Warm') >> nth=0")
    expect(page.locator("button:has-text('Unload')")).to_have_count(1, timeout=30_000)


def check_access(page: Page) -> None:
    """Fail if axe finds what keeps people with a screen reader or a keyboard from reading."""
    found = Axe().run(page)["violations"]
    assert [one["id"] for one in found if one["impact"] in SERIOUS] == []


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
