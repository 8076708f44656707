"""SIGHUP: the config is read again, and calls go on meanwhile."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.functional import artifacts
from tests.serving import PATIENCE_S, Server

HEADERS = {"x-amzn-sagemaker-target-model": "house.tar.gz", "content-type": "text/csv"}
CONFIG = """
- name: first
  kind: MultiModelEndpoint
  models: {path: models}
  access: [{principal: "*", allow: ["*"]}]
"""
CHANGED = """
- name: first
  kind: MultiModelEndpoint
  models: {path: models}
  access: [{principal: "*", allow: ["*"], deny: ["secret*"]}]
- name: second
  kind: MultiModelEndpoint
  models: {path: models}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    for name in ("house.tar.gz", "secret.tar.gz"):
        (tmp_path / "models" / name).write_bytes(artifacts.house())
    path = tmp_path / "modelyard.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def server(config: Path) -> Iterator[Server]:
    with Server(config, "--workers", "2") as running:
        yield running


def call(http: httpx.Client, endpoint: str = "first", model: str = "house.tar.gz") -> int:
    headers = {**HEADERS, "x-amzn-sagemaker-target-model": model}
    path = f"/endpoints/{endpoint}/invocations"
    return http.post(path, content=artifacts.ROW, headers=headers).status_code


def wait_for_log(server: Server, text: str, count: int = 1) -> None:
    """Wait until the log has a text so many times."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.1)):
        if server.log.count(text) >= count:
            return
        pause.wait(0.1)
    raise AssertionError(server.log)


def test_config_is_reloaded_under_load_and_a_wrong_one_is_refused(
    server: Server, config: Path
) -> None:
    statuses: list[int] = []
    is_over = threading.Event()
    have_begun = threading.Barrier(4)

    def hammer() -> None:
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
            statuses.append(call(http))
            have_begun.wait(PATIENCE_S)
            while not is_over.is_set():
                statuses.append(call(http))

    assert call(server.http, model="secret.tar.gz") == 200
    assert call(server.http, "second") == 400
    clients = [threading.Thread(target=hammer) for _ in range(3)]
    for client in clients:
        client.start()
    have_begun.wait(PATIENCE_S)
    config.write_text(CHANGED)
    server.process.send_signal(signal.SIGHUP)
    wait_for_log(server, "config reloaded", count=2)
    after = call(server.http, "second"), call(server.http, model="secret.tar.gz")
    config.write_text("- name: first\n  kind: MultiModelEndpoint\n  modles: {}\n")
    server.process.send_signal(signal.SIGHUP)
    wait_for_log(server, "config not reloaded")
    is_over.set()
    for client in clients:
        client.join()

    assert after == (200, 403)
    assert set(statuses) == {200}
    assert "modles" in server.log
    assert call(server.http, "second") == 200


def test_a_worker_that_is_replaced_has_the_new_config(server: Server, config: Path) -> None:
    config.write_text(CHANGED)
    server.process.send_signal(signal.SIGHUP)
    wait_for_log(server, "config reloaded", count=2)

    for worker in server._workers:
        worker.kill()
    wait_for_log(server, "config reloaded", count=4)

    assert call(server.http, "second") == 200


RULES = """
- name: first
  kind: MultiModelEndpoint
  models: {{path: {path}, allow_code: {allow_code}, revalidate: 1h}}
"""


def test_loaded_models_follow_the_new_rules_of_their_endpoint(config: Path) -> None:
    for folder, answer in (("models", 5.0), ("others", 7.0)):
        (config.parent / folder).mkdir(exist_ok=True)
        (config.parent / folder / "house.tar.gz").write_bytes(artifacts.house(answer))
        (config.parent / folder / "script.tar.gz").write_bytes(artifacts.script(artifacts.ECHO))
    config.write_text(RULES.format(path="models", allow_code="true"))
    with Server(config, "--workers", "1") as server:
        before = answer_of(server), call(server.http, model="script.tar.gz")
        config.write_text(RULES.format(path="others", allow_code="false"))
        server.process.send_signal(signal.SIGHUP)
        wait_for_log(server, "config reloaded")
        after = answer_of(server), call(server.http, model="script.tar.gz")

    assert before == ([5.0], 200)
    assert after == ([7.0], 424)


def answer_of(server: Server) -> object:
    answer = server.http.post(
        "/endpoints/first/invocations",
        content=artifacts.ROW,
        headers=HEADERS | {"accept": "application/json"},
    )
    return answer.json()
