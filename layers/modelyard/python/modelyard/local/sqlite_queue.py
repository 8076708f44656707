"""The local warm queue: a table that survives a restart of the server."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

from modelyard.domain import messages
from modelyard.domain.errors import DependencyError
from modelyard.domain.ports import Clock
from modelyard.domain.values import WarmDelivery, WarmRequest
from modelyard.domain.warm_message import parse_warm_message, render_warm_message

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


class SqliteQueue:
    """`WarmQueue` in one SQLite file; a message buried after `max_attempts` is a dead letter."""

    def __init__(
        self, path: Path, clock: Clock, *, visibility_s: float = 400.0, max_attempts: int = 5
    ) -> None:
        self._clock = clock
        self._visibility_s = visibility_s
        self._max_attempts = max_attempts
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
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
        """Return the oldest visible message, hidden from others for the visibility time."""
        now = self._clock.time()
        self._run(  # whoever received these last time did not live to say that it failed
            "UPDATE messages SET buried = 1 WHERE buried = 0 AND attempts >= ? AND visible_at <= ?",
            self._max_attempts,
            now,
        )
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
        """Forget the message."""
        self._run("DELETE FROM messages WHERE id = ?", int(delivery.receipt))

    def retry(self, delivery: WarmDelivery, delay_s: float) -> None:
        """Show the message again after `delay_s`, or bury it after the last attempt."""
        self._run(
            "UPDATE messages SET visible_at = ?, buried = attempts >= ? WHERE id = ?",
            self._clock.time() + delay_s,
            self._max_attempts,
            int(delivery.receipt),
        )

    def dead_letters(self) -> list[WarmRequest]:
        """Return the requests that were given up."""
        rows = self._run("SELECT body FROM messages WHERE buried = 1 ORDER BY id")
        return [parse_warm_message(body) for (body,) in rows]

    def release_all(self) -> None:
        """Make every hidden message visible: whoever received it is gone (single consumer)."""
        self._run("UPDATE messages SET visible_at = ? WHERE buried = 0", self._clock.time())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _run(self, statement: str, *values: object) -> list[Any]:
        with self._lock:
            try:
                return self._db.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise DependencyError(messages.warm_queue_unusable(error)) from error
