"""The local warm queue and its dead letters: one SQLite table that survives a restart."""

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.domain import messages
from modelyard.domain.errors import DependencyError
from modelyard.domain.ports import Clock
from modelyard.domain.values import DeadLetter, WarmDelivery, WarmRequest
from modelyard.domain.warm_message import parse_warm_message, render_warm_message
from modelyard.local.options import ServeOptions

FILE_PATTERN = "warm-*.sqlite3"
"""The names of queue files in a cache folder: one for each set of endpoints."""
MAX_DEAD_LETTERS = 1000
"""How many dead letters are kept; the oldest are deleted first."""

# `buried` is 1 for a dead letter, whose `visible_at` is the time when it was given up.
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
    """Return the file of the queue for the endpoints that these options serve."""
    served = "\n".join(f"{item.name} {item.repository}" for item in options.all_endpoints)
    digest = hashlib.blake2b(served.encode(), digest_size=8).hexdigest()
    return options.limits.cache_dir / f"warm-{digest}.sqlite3"


class SqliteQueue:
    """`WarmQueue`, `WarmDeliveries` and `DeadLetters` in one SQLite file.

    A message is a dead letter after `max_attempts` deliveries. Other processes may use the file
    at the same time; only one of them may receive.
    """

    def __init__(
        self, path: Path, clock: Clock, *, visibility_s: float = 400.0, max_attempts: int = 5
    ) -> None:
        self._clock = clock
        self._visibility_s = visibility_s
        self._max_attempts = max_attempts
        self._lock = threading.Lock()
        with _dependency():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, check_same_thread=False, isolation_level=None, timeout=10
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_SCHEMA)

    def send(self, request: WarmRequest) -> None:
        """Store the request unless one for the same model is on the queue already."""
        self._run(
            "INSERT OR IGNORE INTO messages (body, visible_at) VALUES (?, ?)",
            render_warm_message(request),
            self._clock.time(),
        )

    def receive(self) -> WarmDelivery | None:
        """Return the oldest visible message and hide it from others for the visibility time."""
        now = self._clock.time()
        given_up = self._run(  # their receiver ended during the last attempt
            "UPDATE messages SET buried = 1 WHERE buried = 0 AND attempts >= ? AND visible_at <= ?"
            " RETURNING id",
            self._max_attempts,
            now,
        )
        if given_up:
            self._delete_oldest_dead_letters()
        rows = self._run(
            "UPDATE messages SET attempts = attempts + 1, visible_at = ? WHERE id ="
            " (SELECT id FROM messages WHERE buried = 0 AND visible_at <= ? ORDER BY id LIMIT 1)"
            " RETURNING id, body, attempts",
            now + self._visibility_s,
            now,
        )
        if not rows:
            return None
        identity, body, attempts = rows[0]
        return WarmDelivery(parse_warm_message(body), str(identity), attempts)

    def delete(self, delivery: WarmDelivery) -> None:
        """Delete the message: its work is done."""
        self._run("DELETE FROM messages WHERE id = ?", int(delivery.receipt))

    def retry(self, delivery: WarmDelivery, delay_s: float) -> None:
        """Deliver the message again after `delay_s`; after the last attempt it is a dead letter."""
        now = self._clock.time()
        rows = self._run(
            "UPDATE messages SET buried = attempts >= ?,"
            " visible_at = CASE WHEN attempts >= ? THEN ? ELSE ? END"
            " WHERE id = ? RETURNING buried",
            self._max_attempts,
            self._max_attempts,
            now,
            now + delay_s,
            int(delivery.receipt),
        )
        if rows == [(1,)]:
            self._delete_oldest_dead_letters()

    def all(self) -> list[DeadLetter]:
        """Return the dead letters, oldest first."""
        rows = self._run(
            "SELECT body, visible_at FROM messages WHERE buried = 1 ORDER BY visible_at, id"
        )
        return [DeadLetter(parse_warm_message(body), failed_at) for body, failed_at in rows]

    def redrive(self) -> int:
        """Put all dead letters back on the queue; return how many there were.

        One that equals a message on the queue is only deleted: that message does its work.
        """
        with self._lock, _dependency(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            statement = "SELECT count(*) FROM messages WHERE buried = 1"
            count = int(self._db.execute(statement).fetchone()[0])
            self._db.execute(
                "UPDATE OR IGNORE messages SET buried = 0, attempts = 0, visible_at = ?"
                " WHERE buried = 1",
                (self._clock.time(),),
            )
            self._db.execute("DELETE FROM messages WHERE buried = 1")
        return count

    def release_all(self) -> None:
        """Make every hidden message visible. Only for a start: no receiver can be at work then."""
        self._run("UPDATE messages SET visible_at = ? WHERE buried = 0", self._clock.time())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _delete_oldest_dead_letters(self) -> None:
        self._run(
            "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE buried = 1"
            " ORDER BY visible_at DESC, id DESC LIMIT -1 OFFSET ?)",
            MAX_DEAD_LETTERS,
        )

    def _run(self, statement: str, *values: object) -> list[Any]:
        with self._lock, _dependency():
            return self._db.execute(statement, values).fetchall()


@contextmanager
def _dependency() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise DependencyError(messages.warm_queue_unusable(error)) from error
