"""What an image may do where it runs: as much as on Lambda and no more."""

from collections.abc import Iterator

from tests.image.functions import BuiltFunction

_IMPORT = """
import time
began, cpu = time.perf_counter(), time.process_time()
import handler
print(f"{time.perf_counter() - began:.3f} s, {time.process_time() - cpu:.3f} s of CPU time")
"""
_OUTSIDE = """
import socket
socket.create_connection(("192.0.2.1", 443), timeout=2)
"""
OUT_OF_MEMORY = 137


def findings(function: BuiltFunction) -> Iterator[str]:
    """Yield what was found.

    Raises:
        AssertionError: something is allowed that Lambda forbids, or the other way round.
    """
    yield f"import of the handler: {_printed(function, _IMPORT)}"
    yield f"user: {_printed(function, 'import os; print(os.getuid(), os.getgid())')}"
    for folder in ("/", "/var/task", "/opt/venv"):
        _refused(function, f"open({folder!r} + '/x', 'w')", "Read-only file system")
    _refused(function, _OUTSIDE, "Network is unreachable")
    _printed(function, "open('/tmp/x', 'w'); open('/mnt/models/x', 'w')")
    yield "root read-only, no network, /tmp and the mount writable"
    memory_mb = function.models.memory_mb
    killed = function.python(f"bytearray(b'x') * ({memory_mb} << 20)")
    assert killed.returncode == OUT_OF_MEMORY, killed
    yield f"killed when it takes {memory_mb} MiB"


def _printed(function: BuiltFunction, code: str) -> str:
    ended = function.python(code)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def _refused(function: BuiltFunction, code: str, reason: str) -> None:
    ended = function.python(code)
    assert ended.returncode != 0, f"allowed: {code}"
    assert reason in ended.stderr, ended.stderr
