"""Start `modelyard serve` on a free port in a temporary folder; stop it and remove the folder."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 15.0
_SHOWN_LOG_LINES = 15


class ServerFailedError(Exception):
    """The server did not start; the message ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and the folder whose models it serves."""

    url: str
    pid: int
    repository: Path


@contextmanager
def running_server(*options: str) -> Iterator[Server]:
    """Serve a new, empty repository as endpoint `home-value` until the `with` block ends."""
    with tempfile.TemporaryDirectory(prefix="home-value-") as name:
        folder = Path(name)
        repository = folder / "models"
        repository.mkdir()
        port = _free_port()
        command = [str(Path(sys.executable).with_name("modelyard")), "serve", str(repository)]
        command += ["--endpoint", "home-value", "--port", str(port)]
        command += ["--cache-dir", str(folder / "cache"), *options]
        log = folder / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603 - ours
        try:
            url = f"http://127.0.0.1:{port}"
            _await_ping(url, process, log)
            yield Server(url, process.pid, repository)
        finally:
            _stop(process)


def use_no_settings_of_this_machine() -> None:
    """Remove AWS profiles, regions and proxies from the environment of this process."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    os.environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_ping(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(f"{url}/ping", timeout=2):  # noqa: S310
            return
        time.sleep(0.1)
    said = "\n".join(log.read_text(errors="replace").splitlines()[-_SHOWN_LOG_LINES:])
    state = "does not answer" if process.poll() is None else f"exited ({process.returncode})"
    raise ServerFailedError(f"the server {state}:\n{said}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
