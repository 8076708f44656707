"""`modelyard dead-letters` on the queue files of local servers."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from modelyard.cli.main import app
from modelyard.domain.system_clock import SystemClock
from modelyard.domain.values import TargetModel, WarmRequest
from modelyard.domain.warm_message import WARM_MESSAGES
from modelyard.local.sqlite_queue import SqliteQueue
from tests.fakes.clock import FakeClock


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["dead-letters", *words])


@pytest.fixture
def cache_dir(tmp_path: Path) -> str:
    """A cache folder in which two servers have given up one model each."""
    clock = FakeClock()
    for number, endpoint in enumerate(("housing", "churn")):
        queue = SqliteQueue(
            tmp_path / f"warm-{number}.sqlite3", clock, WARM_MESSAGES, max_attempts=1
        )
        queue.send(WarmRequest(endpoint, TargetModel("m.onnx")))
        delivery = queue.receive()
        assert delivery is not None
        queue.retry(delivery, 0.0)
        queue.close()
        clock.advance(60.0)
    return str(tmp_path)


def test_models_are_listed_by_the_time_when_they_were_given_up(cache_dir: str) -> None:
    lines = run("--cache-dir", cache_dir).output.splitlines()

    assert [line.split()[1:] for line in lines] == [["housing", "m.onnx"], ["churn", "m.onnx"]]


def test_json_has_every_member(cache_dir: str) -> None:
    first, second = json.loads(run("--cache-dir", cache_dir, "--json").output)

    assert set(first) == {"endpoint_name", "target_model", "failed_at"}
    assert second["failed_at"] - first["failed_at"] == 60.0


def test_redriven_models_are_on_the_queue_again(cache_dir: str) -> None:
    result = run("--cache-dir", cache_dir, "--redrive")

    assert result.output == "2 dead letters go back to the warm queue\n"
    assert run("--cache-dir", cache_dir).output == "no dead letters\n"
    queue = SqliteQueue(Path(cache_dir) / "warm-0.sqlite3", SystemClock(), WARM_MESSAGES)
    delivery = queue.receive()
    queue.close()
    assert delivery is not None
    assert delivery.request == WarmRequest("housing", TargetModel("m.onnx"))


def test_folder_without_a_queue_has_no_dead_letters(tmp_path: Path) -> None:
    assert run("--cache-dir", str(tmp_path)).output == "no dead letters\n"
    assert json.loads(run("--cache-dir", str(tmp_path), "--redrive", "--json").output) == {
        "redriven": 0
    }


def test_file_that_is_no_queue_is_one_red_line(tmp_path: Path) -> None:
    (tmp_path / "warm-0.sqlite3").write_text("something else entirely, and long enough" * 100)

    result = run("--cache-dir", str(tmp_path))

    assert result.exit_code == 1
    assert "the warm queue cannot be used" in result.stderr


@pytest.mark.parametrize("url", ["warm", "ftp://sqs.us-east-1.amazonaws.com/1/q"])
def test_queue_url_must_be_a_url(url: str) -> None:
    result = run("--queue-url", url)

    assert result.exit_code == 1
    assert "allowed: the URL of an SQS queue" in result.stderr


def test_two_places_at_once_are_refused(cache_dir: str) -> None:
    result = run("--queue-url", "https://sqs.us-east-1.amazonaws.com/1/q", "--cache-dir", cache_dir)

    assert result.exit_code == 1
    assert "--queue-url cannot be used with --cache-dir." in result.stderr
