"""A local queue and its dead letters: one SQLite table that survives a restart."""

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from modelyard.domain import messages
from modelyard.domain.async_call import ASYNC_CALLS, HIDDEN_S, AsyncCall
from modelyard.domain.errors import DependencyError, ModelyardError
from modelyard.domain.message_form import MessageForm
from modelyard.domain.ports import Clock
from modelyard.domain.values import DeadLetter, Delivery
from modelyard.local.options import ServeOptions

logger = logging.getLogger(__name__)

FILE_PATTERN = "warm-*.sqlite3"
"""The names of warm queues in a cache folder: one for each set of endpoints."""
MAX_DEAD_LETTERS = 1000
"""How many dead letters are kept; the oldest are deleted first."""

DAMAGED = ".damaged"
"""The suffix of a file that SQLite could not read. It is kept for people; the next replaces it."""
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""What SQLite says of a damaged file, or of one without our table, as after its truncation."""
_TRIES = 3

T = TypeVar("T")
R = TypeVar("R")

# `visible_at` is in seconds of the monotonic clock, which all processes of a machine share; a
# message with 0 is visible. Nothing waits by the time of day, which people and programs set.
# `buried` is 1 for a dead letter, whose `visible_at` is the time of day when it was given up.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    visible_at REAL NOT NULL,
    buried INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS one_waiting ON messages (body) WHERE buried = 0;
"""


def queue_path(options: ServeOptions) -> Path:
    """Return the file of the warm queue for the endpoints that these options serve."""
    return options.limits.cache_dir / f"warm-{options.endpoints_digest}.sqlite3"


class SqliteQueue(Generic[T]):
    """`MessageQueue`, `Deliveries` and `DeadLetters` in one SQLite file.

    A message is a dead letter after `max_attempts` deliveries. Other processes may use the file
    at the same time; only one of them may receive. The file is opened when it is needed: one that
    is damaged is set aside, one that was deleted is made again, and every other trouble is a
    DependencyError until it is over.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        form: MessageForm[T],
        *,
        visibility_s: float = 400.0,
        max_attempts: int = 5,
        mends: bool = True,
    ) -> None:
        """Without `mends`, a damaged file is a DependencyError: for programs that only look."""
        self._path = path
        self._mends = mends
        self._clock = clock
        self._form = form
        self._visibility_s = visibility_s
        self._max_attempts = max_attempts
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._opened_file: tuple[int, int] | None = None
        self._is_closed = False
        self._is_start = False

    def send(self, request: T) -> None:
        """Store the request unless an equal one is on the queue already."""
        self._run(
            "INSERT OR IGNORE INTO messages (body, visible_at) VALUES (?, ?)",
            self._form.render(request),
            0.0,
        )

    def receive(self) -> Delivery[T] | None:
        """Return the oldest visible message and hide it from others for the visibility time."""
        self._make_dead_letters()
        now = self._clock.monotonic()
        while rows := self._run(
            "UPDATE messages SET attempts = attempts + 1, visible_at = ? WHERE id ="
            " (SELECT id FROM messages WHERE buried = 0 AND visible_at <= ? ORDER BY id LIMIT 1)"
            " RETURNING id, body, attempts",
            now + self._visibility_s,
            now,
        ):
            identity, body, attempts = rows[0]
            request = self._parsed(body)
            if request is not None:
                return Delivery(request, str(identity), attempts)
            self._run("DELETE FROM messages WHERE id = ?", identity)
        return None

    def _make_dead_letters(self) -> None:
        """Turn messages into dead letters whose receiver ended during the last attempt."""
        buried = self._run(
            "UPDATE messages SET buried = 1, visible_at = ?"
            " WHERE buried = 0 AND attempts >= ? AND visible_at <= ? RETURNING id",
            self._clock.time(),
            self._max_attempts,
            self._clock.monotonic(),
        )
        if buried:
            self._delete_oldest_dead_letters()

    def delete(self, delivery: Delivery[T]) -> None:
        """Delete the message: its work is done."""
        self._run("DELETE FROM messages WHERE id = ?", int(delivery.receipt))

    def retry(self, delivery: Delivery[T], delay_s: float) -> None:
        """Deliver the message again after `delay_s`; after the last attempt it is a dead letter."""
        rows = self._run(
            "UPDATE messages SET buried = attempts >= ?,"
            " visible_at = CASE WHEN attempts >= ? THEN ? ELSE ? END"
            " WHERE id = ? RETURNING buried",
            self._max_attempts,
            self._max_attempts,
            self._clock.time(),
            self._clock.monotonic() + delay_s,
            int(delivery.receipt),
        )
        if rows == [(1,)]:
            self._delete_oldest_dead_letters()

    def hide(self, delivery: Delivery[T], hidden_s: float) -> None:
        """Hide the message from other receivers for `hidden_s` from now on."""
        self._run(
            "UPDATE messages SET visible_at = ? WHERE id = ? AND buried = 0",
            self._clock.monotonic() + hidden_s,
            int(delivery.receipt),
        )

    def all(self) -> list[DeadLetter[T]]:
        """Return the dead letters, oldest first."""
        rows = self._run(
            "SELECT body, visible_at FROM messages WHERE buried = 1 ORDER BY visible_at, id"
        )
        letters = ((self._parsed(body), failed_at) for body, failed_at in rows)
        return [DeadLetter(request, failed_at) for request, failed_at in letters if request]

    def redrive(self) -> int:
        """Put all dead letters back on the queue; return how many there were.

        One that equals a message on the queue is only deleted: that message does its work.
        """
        return self._with_file(self._redrive)

    def release_all(self) -> None:
        """Make every hidden message visible. Only for a start: no receiver can be at work then.

        If the file cannot be used now, this is done when it can.
        """
        self._is_start = True
        try:
            self._run("SELECT 1")
        except DependencyError as error:
            logger.warning("no queue", extra={"queue": self._form.queue, "reason": error.message})

    def close(self) -> None:
        """Close the file. Every later use is a DependencyError."""
        with self._lock:
            self._is_closed = True
            self._disconnect()

    def _delete_oldest_dead_letters(self) -> None:
        self._run(
            "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE buried = 1"
            " ORDER BY visible_at DESC, id DESC LIMIT -1 OFFSET ?)",
            MAX_DEAD_LETTERS,
        )

    def _run(self, statement: str, *values: object) -> list[Any]:
        return self._with_file(lambda db: db.execute(statement, values).fetchall())

    def _redrive(self, db: sqlite3.Connection) -> int:
        with db:
            db.execute("BEGIN IMMEDIATE")
            statement = "SELECT count(*) FROM messages WHERE buried = 1"
            count = int(db.execute(statement).fetchone()[0])
            db.execute(
                "UPDATE OR IGNORE messages SET buried = 0, attempts = 0, visible_at = 0"
                " WHERE buried = 1"
            )
            db.execute("DELETE FROM messages WHERE buried = 1")
        return count

    def _with_file(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Return what `work` returns; a damaged file is set aside, and a new one used.

        Raises:
            DependencyError: the file cannot be used.
        """
        with self._lock:
            for tries_left in reversed(range(_TRIES)):
                try:
                    return work(self._connection())
                except (sqlite3.Error, OSError) as error:
                    self._disconnect()
                    is_away = self._mends and _code(error) in _DAMAGE and self._set_aside()
                    if self._is_closed or not tries_left or not is_away:
                        text = messages.queue_unusable(self._form.queue, error)
                        raise DependencyError(text) from error
            raise AssertionError("the last try returns or raises")

    def _connection(self) -> sqlite3.Connection:
        """Return the open file; it is opened again when another one is in its place."""
        if self._is_closed:
            raise sqlite3.ProgrammingError("it is closed")
        if self._db is None or self._opened_file != _identity(self._path):
            self._disconnect()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._folder_locked():
                self._db = sqlite3.connect(
                    self._path, check_same_thread=False, isolation_level=None, timeout=10
                )
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.executescript(_SCHEMA)
                self._opened_file = _identity(self._path)
        if self._is_start:
            self._db.execute("UPDATE messages SET visible_at = 0 WHERE buried = 0")
            self._is_start = False
        return self._db

    @contextmanager
    def _folder_locked(self) -> Iterator[None]:
        """Let no other queue of this folder open a file, or set one aside, at the same time.

        SQLite refuses ("database is locked") instead of waiting when two connections make a new
        file a WAL database at once.
        """
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def _set_aside(self) -> bool:
        """Rename the damaged file, unless another process just did; returns whether it is away.

        Its log goes first: SQLite would apply it to the next file of this name.
        """
        if (found := _identity(self._path)) is None:
            return True
        try:
            with self._folder_locked():
                if _identity(self._path) == found and self._is_damaged():
                    for suffix in ("-wal", "-shm"):
                        Path(f"{self._path}{suffix}").unlink(missing_ok=True)
                    self._path.replace(f"{self._path}{DAMAGED}")
                    logger.error("damaged queue set aside", extra={"file": self._path.name})
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def _parsed(self, body: object) -> T | None:
        """Return the request of a message, or None for a body that is damaged."""
        try:
            return self._form.parse(str(body))
        except ModelyardError:
            logger.warning("damaged message", extra={"queue": self._form.queue})
            return None

    def _is_damaged(self) -> bool:
        try:
            with closing(sqlite3.connect(self._path, timeout=10)) as db:
                db.executescript(_SCHEMA)
                db.execute("SELECT id, body, attempts, visible_at, buried FROM messages LIMIT 1")
                rows = db.execute("PRAGMA quick_check(1)").fetchall()
        except sqlite3.Error as error:
            return _code(error) in _DAMAGE
        return rows != [("ok",)]


def _code(error: Exception) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF  # the rest tells details


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def open_async_queue(options: ServeOptions, clock: Clock) -> SqliteQueue[AsyncCall]:
    """Return the queue of asynchronous invocations, one for all servers with this cache folder.

    Unlike warm messages, they must be found again after the config has changed. Calls end by
    themselves when they expire, so the number of attempts is only a last limit.
    """
    path = options.limits.cache_dir / "async.sqlite3"
    return SqliteQueue(path, clock, ASYNC_CALLS, visibility_s=HIDDEN_S, max_attempts=1000)
