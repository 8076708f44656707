"""A server under attack, and a client that shares no code with it."""

import contextlib
import http.client
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.redteam.verdict import Verdict
from tests.serving import Server

CALL_TIMEOUT_S = 80.0
SETTLE_S = 15.0
TYPES_OF_A_BUSY_SERVER = ("ServiceUnavailable", "ModelNotReadyException")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes

    @property
    def kind(self) -> str:
        """The status and the type of an error."""
        if self.status == 200:
            return "200"
        return f"{self.status} {self.headers.get('x-amzn-errortype', 'untyped').partition(':')[0]}"

    @property
    def is_typed(self) -> bool:
        """Whether it is an answer, or an error that says what it is, and is no defect."""
        return self.status == 200 or (not self.kind.endswith("untyped") and self.status != 500)

    def number(self) -> float:
        """Return the one number in the body."""
        found: Any = json.loads(self.body)
        while isinstance(found, list):
            (found,) = found
        return float(found)


def call(
    port: int,
    model: str,
    body: bytes = b"1,2,3,4",
    *,
    endpoint: str = "e",
    media_type: str = "text/csv",
    timeout_s: float = CALL_TIMEOUT_S,
    **headers: str,
) -> Reply:
    """Call a model over a connection of its own.

    Raises:
        OSError, http.client.HTTPException: there was no complete response.
    """
    sent = {"Content-Type": media_type, "X-Amzn-SageMaker-Target-Model": model}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return request(port, "POST", f"/endpoints/{endpoint}/invocations", body, sent, timeout_s)


def request(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = CALL_TIMEOUT_S,
) -> Reply:
    """Send any request over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, found, response.read())
    finally:
        connection.close()


class Target:
    """One server, its workers and what they leave behind."""

    def __init__(self, server: Server, verdict: Verdict) -> None:
        self.server = server
        self.port = int(server.url.rpartition(":")[2])
        self._verdict = verdict
        self._known = self.workers()

    def workers(self) -> set[int]:
        """Return the processes that answer calls."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return {child.pid for child in psutil.Process(self.server.pid).children()}
        return set()

    def check_workers(self, cause: str) -> None:
        """Note the workers that ended since the last look."""
        now = self.workers()
        if gone := self._known - now:
            self._verdict.deaths.append(f"{len(gone)} ended: {cause}")
            time.sleep(1)  # they are being replaced
        self._known = self.workers() if gone else now


@contextmanager
def attacked(
    models: Path | str, verdict: Verdict, *options: str, cache_dir: Path | None = None
) -> Iterator[Target]:
    """Serve models, and note what the server leaves behind when it ends."""
    with tempfile.TemporaryDirectory(prefix="redteam-") as temporary:
        with Server(
            models, *options, cache_dir=cache_dir, environment={"TMPDIR": temporary}
        ) as server:
            family = psutil.Process(server.pid)
            yield Target(server, verdict)
            _wait_for_rest(server)
            if cache_dir is None:
                verdict.leaked += server.half_written()
            children = family.children(recursive=True)
            if "Traceback" in server.log:
                verdict.wrong.append(f"a traceback in the log: {_traceback(server.log)}")
        _, alive = psutil.wait_procs(children, timeout=SETTLE_S)
        verdict.leaked += [f"process {one.pid}" for one in alive]
        verdict.leaked += [f"temporary file {path.name}" for path in Path(temporary).iterdir()]


def _wait_for_rest(server: Server) -> None:
    give_up_at = time.monotonic() + SETTLE_S
    while server.half_written() and time.monotonic() < give_up_at:
        time.sleep(0.2)


def _traceback(log: str) -> str:
    at = log.index("Traceback")
    return log[at : at + 1500]
