"""Uses the page as people do: `python browse.py URL LOCKED_URL KEY CHROMIUM FOLDER`.

The server at LOCKED_URL lets only callers with KEY in.

It runs with the interpreter of `build/page/venv`, where nothing of Modelyard is installed.
"""

import sys
from pathlib import Path

from axe_core_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

FIRST_PAINT = """new Promise(resolve => new PerformanceObserver(list => {
    const [paint] = list.getEntriesByName('first-contentful-paint');
    if (paint) resolve(paint.startTime);
}).observe({type: 'paint', buffered: true}))"""
COLD = "model-07777.ubj"
HTML = {"accept": "text/html"}
SERIOUS = ("serious", "critical")


def main(url: str, locked_url: str, key: str, chromium: str, folder: Path) -> None:
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
        answered = page.evaluate("performance.getEntriesByType('navigation')[0].responseStart")
        painted = page.evaluate(FIRST_PAINT)
        print(f"response after {answered:.0f} ms, first paint after {painted:.0f} ms")
        use(page)
        call_by_keyboard(page)
        see_cold_call(page, url)
        check_access(page)
        page.screenshot(path=folder / "light.png", full_page=True)
        page.emulate_media(color_scheme="dark")
        check_access(page)
        page.screenshot(path=folder / "dark.png", full_page=True)
        page.set_viewport_size({"width": 400, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        page.screenshot(path=folder / "narrow.png", full_page=True)
        use_without_scripts(browser.new_context(java_script_enabled=False).new_page(), url)
        with_key = {"username": "any", "password": key}
        use(watch(open_page(browser.new_context(http_credentials=with_key), locked_url)))
        assert browser.new_page().request.get(locked_url, headers=HTML).status == 401
        browser.close()
    assert faults == [], faults
    print("every step gave the expected result")


def open_page(context: BrowserContext, url: str) -> Page:
    """Open the URL in a new tab."""
    page = context.new_page()
    page.goto(url)
    return page


def use(page: Page) -> None:
    """Filter by typing and by state, load and unload by button; all without a reload."""
    rows = page.locator("#rows tbody tr")
    page.fill("#q", "0042")
    expect(rows).to_have_count(11)
    page.click("button:has-text('Warm') >> nth=0")
    unload = page.locator("button:has-text('Unload')")
    expect(unload).to_have_count(1)
    page.select_option("#state", "LOADED")
    expect(rows).to_have_count(1)
    unload.click()
    expect(rows).to_have_count(0)
    page.select_option("#state", "")
    expect(rows).to_have_count(11)


def call_by_keyboard(page: Page) -> None:
    """Open the form of a model and send it without a mouse."""
    page.focus("#rows tbody th a >> nth=1")
    page.keyboard.press("Enter")
    page.locator("#try textarea").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".answer")).to_contain_text("outputs")


def see_cold_call(page: Page, url: str) -> None:
    """Call a model that is not loaded; the page shows the call without being asked again."""
    called = page.request.post(
        f"{url}/endpoints/shop/invocations",
        data="1,2,3,4,5,6",
        headers={"content-type": "text/csv", "x-amzn-sagemaker-target-model": COLD},
    )
    assert called.ok, called.text()
    expect(page.locator(".cold")).to_contain_text(COLD)


def use_without_scripts(page: Page, url: str) -> None:
    """Filter and load with forms alone."""
    page.goto(url)
    page.fill("#q", "0043")
    page.click("form[role=search] button")
    page.click("button:has-text('Warm') >> nth=0")
    expect(page.locator("button:has-text('Unload')")).to_have_count(1)


def check_access(page: Page) -> None:
    """Fail if axe finds what keeps people with a screen reader or a keyboard from reading."""
    found = Axe().run(page)["violations"]
    assert [one["id"] for one in found if one["impact"] in SERIOUS] == []


if __name__ == "__main__":
    expect.set_options(timeout=30_000)
    main(*sys.argv[1:5], Path(sys.argv[5]))
