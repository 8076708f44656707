"""A local queue's file: damaged, deleted, out of reach, used by many processes."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain.errors import DependencyError
from modelyard.domain.values import TargetModel, WarmRequest
from modelyard.domain.warm_message import WARM_MESSAGES
from modelyard.local.sqlite_queue import DAMAGED, FILE_PATTERN, SqliteQueue
from tests.fakes.clock import FakeClock
from tests.properties import examples

HOUSTON = WarmRequest("housing", TargetModel("Houston.onnx"))
AUSTIN = WarmRequest("housing", TargetModel("Austin.onnx"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "warm-1.sqlite3"


_opened: list[SqliteQueue] = []


@pytest.fixture(autouse=True)
def all_closed() -> Iterator[None]:
    """Python 3.13 warns of files that are not closed."""
    yield
    while _opened:
        _opened.pop().close()


def queue_at(path: Path) -> SqliteQueue:
    _opened.append(SqliteQueue(path, FakeClock(), WARM_MESSAGES))
    return _opened[-1]


def received(queue: SqliteQueue) -> list[WarmRequest]:
    found = []
    while (delivery := queue.receive()) is not None:
        found.append(delivery.request)
        queue.delete(delivery)
    return found


def filled(path: Path) -> None:
    with closing(queue_at(path)) as queue:
        queue.send(HOUSTON)


def test_closed_queue_is_a_dependency_error_without_a_path(path: Path, tmp_path: Path) -> None:
    queue = queue_at(path)
    queue.close()

    with pytest.raises(DependencyError, match="warm queue") as error:
        queue.send(HOUSTON)

    assert str(tmp_path) not in error.value.message


@pytest.mark.parametrize(
    "content",
    [b"no database", b"SQLite format 3\0" + bytes(4096), bytes(8192), bytes(range(256)) * 32],
    ids=["text", "only its head", "zeros", "noise"],
)
def test_damaged_file_is_set_aside_at_the_start(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    queue = queue_at(path)

    queue.release_all()
    queue.send(HOUSTON)

    assert received(queue) == [HOUSTON]
    assert path.with_name(path.name + DAMAGED).read_bytes() == content
    assert [item.name for item in path.parent.glob(FILE_PATTERN)] == [path.name]
    assert [record.message for record in caplog.records] == ["damaged queue set aside"]
    assert caplog.records[0].exc_info is None


def test_table_of_another_program_is_set_aside(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE messages (text TEXT)")
        db.commit()
    queue = queue_at(path)

    queue.send(HOUSTON)

    assert received(queue) == [HOUSTON]


def test_truncated_file_gets_its_table_again(path: Path) -> None:
    queue = queue_at(path)
    queue.send(HOUSTON)
    queue.close()
    path.write_bytes(b"")

    queue = queue_at(path)
    queue.send(AUSTIN)

    assert received(queue) == [AUSTIN]


def test_message_that_is_damaged_is_dropped(path: Path) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("INSERT INTO messages (body, visible_at) VALUES (x'00ff', 0)")
        db.execute("INSERT INTO messages (body, visible_at, buried) VALUES ('{', 0, 1)")
        db.commit()
    queue = queue_at(path)

    assert received(queue) == [HOUSTON]
    assert queue.all() == []


def test_deleted_folder_is_made_again(path: Path) -> None:
    queue = queue_at(path)
    queue.send(HOUSTON)
    shutil.rmtree(path.parent)

    queue.send(AUSTIN)

    assert received(queue_at(path)) == [AUSTIN]


def test_file_that_cannot_be_opened_is_a_typed_error_until_it_can(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.mkdir(parents=True)
    queue = queue_at(path)

    queue.release_all()
    for use in (lambda: queue.send(HOUSTON), queue.receive, queue.all, queue.redrive):
        with pytest.raises(DependencyError):
            use()
    path.rmdir()

    queue.send(HOUSTON)
    assert received(queue) == [HOUSTON]
    assert [record.message for record in caplog.records] == ["no queue"]
    assert caplog.records[0].exc_info is None


def test_start_makes_messages_visible_as_soon_as_the_file_can_be_used(path: Path) -> None:
    """Their times are of the clock of an earlier boot, or of an earlier version."""
    filled(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE messages SET visible_at = 1700000000")
        db.commit()
    away = path.with_name("away")
    path.rename(away)
    path.mkdir()
    queue = queue_at(path)
    queue.release_all()

    path.rmdir()
    away.rename(path)

    assert received(queue) == [HOUSTON]


def test_two_processes_that_find_damage_make_one_new_file(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database")
    requests = [WarmRequest("housing", TargetModel(f"{number}.onnx")) for number in range(8)]
    queues = [queue_at(path) for _ in requests]

    with ThreadPoolExecutor(len(queues)) as pool:
        list(pool.map(lambda queue, request: queue.send(request), queues, requests))

    assert {request.target_model for request in received(queue_at(path))} == {
        request.target_model for request in requests
    }


SEND_MANY = """
import sys
from pathlib import Path
from modelyard.domain.system_clock import SystemClock
from modelyard.domain.values import TargetModel, WarmRequest
from modelyard.domain.warm_message import WARM_MESSAGES
from modelyard.local.sqlite_queue import SqliteQueue

queue = SqliteQueue(Path(sys.argv[1]), SystemClock(), WARM_MESSAGES)
for number in range(20):
    queue.send(WarmRequest("housing", TargetModel(f"{sys.argv[2]}-{number}.onnx")))
"""


def test_processes_send_while_another_receives(path: Path) -> None:
    senders = [
        subprocess.Popen([sys.executable, "-c", SEND_MANY, path, str(number)])
        for number in range(3)
    ]
    queue, found = queue_at(path), []
    while any(sender.poll() is None for sender in senders):
        found += received(queue)
    found += received(queue)

    assert [sender.returncode for sender in senders] == [0, 0, 0]
    assert len({request.target_model for request in found}) == 60


@settings(max_examples=examples(100))
@given(st.integers(0, 1 << 14), st.binary(min_size=1, max_size=400), st.booleans())
def test_no_damage_keeps_the_queue_from_working(tmp_path_factory, at, noise, in_log) -> None:
    path = tmp_path_factory.mktemp("cache") / "warm-1.sqlite3"
    db = sqlite3.connect(path)  # its log stays as long as it is open
    with closing(db), closing(queue_at(path)) as first:
        for number in range(30):
            first.send(WarmRequest("housing", TargetModel(f"{number}.onnx")))
        db.execute("SELECT * FROM messages").fetchall()
        damaged = Path(f"{path}-wal") if in_log else path
        content = bytearray(damaged.read_bytes())
        first.close()
    start = at % max(1, len(content))
    content[start : start + len(noise)] = noise
    damaged.write_bytes(content)

    queue = queue_at(path)
    queue.release_all()
    queue.send(HOUSTON)

    assert HOUSTON in received(queue)
    assert queue.receive() is None
    queue.all()
