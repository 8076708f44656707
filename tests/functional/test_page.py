"""The page for browsers, read as a browser without JavaScript reads it."""

import base64
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from modelyard.domain.keys import issue
from modelyard.local.file_keys import FileKeys
from tests.functional import artifacts
from tests.serving import Server

BROWSER = {"accept": "text/html,*/*;q=0.8"}
HOUSE = "house.tar.gz"
EVIL = "<b>evil&.tar.gz"


class Page(HTMLParser):
    """The text of a page, and the elements in it with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "shop"
    folder.mkdir()
    for name in (HOUSE, EVIL, *(f"many-{number:03}.tar.gz" for number in range(60))):
        (folder / name).write_bytes(artifacts.house())
    (folder / "broken.onnx").write_bytes(b"no model")
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    with Server(models, "--workers", "1") as running:
        yield running


def page(server: Server, **query: str) -> Page:
    answer = server.http.get("/", params=query, headers=BROWSER)
    assert answer.status_code == 200
    return Page(answer.text)


def submit(server: Server, action: str, model: str, **headers: str) -> httpx.Response:
    form = {"endpoint": "shop", "model": model, "q": "house"}
    return server.http.post(f"/_page/{action}", data=form, headers={**BROWSER, **headers})


def test_programs_get_what_the_api_answers(server: Server) -> None:
    answer = server.http.get("/", headers={"accept": "*/*"})

    assert (answer.status_code, answer.json()["__type"]) == (404, "UnknownOperationException")


def test_browser_may_run_nothing_but_files_of_the_page(server: Server) -> None:
    answer = server.http.get("/", headers=BROWSER)
    shown = Page(answer.text)

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert [one for _, one in shown.elements if "style" in one or "onclick" in one] == []
    files = [one["src"] for one in shown.of("script")] + ["/_page/page.css"]
    assert {server.http.get(str(file)).status_code for file in files} == {200}
    assert server.http.get("/_page/status_page.py").status_code == 404


def test_table_comes_in_pages_and_is_filtered(server: Server) -> None:
    first = page(server)
    (link,) = [one["href"] for one in first.of("a") if "after=" in str(one["href"])]
    second = Page(server.http.get(str(link), headers=BROWSER).text)
    filtered = page(server, q="HOUSE")

    assert [len(one.of("tr")) - 1 for one in (first, second, filtered)] == [50, 13, 1]
    assert EVIL in first.text
    assert "not loaded" in filtered.text


def test_model_is_loaded_and_unloaded_by_buttons(server: Server) -> None:
    warmed = submit(server, "warm", HOUSE)
    loaded = page(server, q="house")
    found = [page(server, q="house", state=state).of("tr") for state in ("LOADED", "STAGED")]
    unloaded = submit(server, "unload", HOUSE)

    assert (warmed.status_code, warmed.headers["location"]) == (303, "/?endpoint=shop&q=house")
    assert "Unload" in loaded.text
    assert [len(rows) for rows in found] == [2, 0]
    assert unloaded.status_code == 303
    assert "Unload" not in page(server, q="house").text


def test_why_a_model_cannot_be_loaded_is_shown(server: Server) -> None:
    answer = Page(submit(server, "warm", "broken.onnx").text)

    assert "alert" in [one.get("role") for one in answer.of("p")]
    assert "loading failed" in page(server, q="broken").text


def test_forms_of_other_pages_do_nothing(server: Server) -> None:
    answer = submit(server, "warm", HOUSE, **{"sec-fetch-site": "cross-site"})

    assert "forms of other pages are not accepted" in answer.text
    assert "Unload" not in page(server, q="house").text


def test_form_calls_the_model_and_the_call_is_shown(server: Server) -> None:
    form = page(server, endpoint="shop", model=HOUSE)
    (data,) = form.of("textarea")
    names = {one["name"]: one["value"] for one in form.of("input") if one.get("type") == "hidden"}
    sent = {key: str(names[key]) for key in ("endpoint", "model", "name", "datatype")}
    shape = next(one["value"] for one in form.of("input") if one.get("name") == "shape")
    width = int(str(shape).strip("[]").split(",")[1])
    sent |= {"shape": str(shape), "data": str([1] * width)}

    answer = server.http.post("/_page/call", data=sent, headers=BROWSER).text

    assert data["name"] == "data"
    assert "Answer after" in answer
    assert "&#34;outputs&#34;" in answer
    assert "tritonclient" in answer


def test_cold_call_is_a_bar(server: Server, models: Path) -> None:
    header = {"x-amzn-sagemaker-target-model": "many-000.tar.gz", "content-type": "text/csv"}
    server.http.post("/endpoints/shop/invocations", content=artifacts.ROW, headers=header)

    answer = server.http.get("/?part=overview", headers={"accept": "*/*", "hx-request": "true"})
    shown = Page(answer.text)

    assert "many-000.tar.gz" in shown.text
    assert len(shown.of("rect")) % 4 == 0
    assert shown.of("table") == []


def test_browser_is_asked_for_a_key(models: Path, tmp_path: Path) -> None:
    key, stored = issue("ada", 0.0)
    FileKeys(tmp_path).add(stored)
    password = base64.b64encode(f"any:{key.text}".encode()).decode()

    with Server(models, "--workers", "1", "--keys-folder", str(tmp_path)) as server:
        unknown = server.http.get("/", headers=BROWSER)
        known = server.http.get("/", headers={**BROWSER, "authorization": f"Basic {password}"})
        api = server.http.get("/endpoints", headers={"authorization": f"Basic {password}"})

    assert unknown.status_code == 401
    assert unknown.headers["www-authenticate"].startswith("Basic ")
    assert known.status_code == 200
    assert api.status_code == 403


def test_page_can_be_left_out(models: Path) -> None:
    with Server(models, "--workers", "1", "--no-page") as server:
        assert server.http.get("/", headers=BROWSER).status_code == 404
        assert server.http.get("/_page/page.css").status_code == 404
