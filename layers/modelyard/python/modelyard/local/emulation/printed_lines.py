"""Reads what a child process prints, line by line, on the event loop."""

import asyncio
import os
from collections.abc import Callable

CHUNK_BYTES = 65536
MAX_LINE_BYTES = 256 * 1024
"""Longer lines are cut, as by CloudWatch."""


class PrintedLines:
    """The reading end of the pipe that a child process prints to."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        asyncio.get_running_loop().add_reader(self._reading, self.drain)

    def close_writing(self) -> None:
        """Close the writing end here; the child has its own copy."""
        os.close(self.writing)

    def drain(self) -> None:
        """Process everything that was printed until now."""
        while True:
            try:
                chunk = os.read(self._reading, CHUNK_BYTES)
            except BlockingIOError:
                return
            if not chunk:  # every process closed the writing end
                asyncio.get_running_loop().remove_reader(self._reading)
                return
            self._take(chunk)

    def close(self) -> None:
        """Process the rest, including an incomplete line, and close the pipe."""
        self.drain()
        if self._rest:
            self._take(b"\n")
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self._reading)

    def _take(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            # The runtime separates the lines of a traceback by \r, so that they stay one event.
            self._on_line(line.decode(errors="replace").replace("\r", "\n").rstrip())
