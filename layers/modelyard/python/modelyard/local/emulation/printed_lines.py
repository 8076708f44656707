"""What a child process prints, as lines, without a thread to read them."""

import asyncio
import os
from collections.abc import Callable

CHUNK_BYTES = 65536
MOST_LINE_BYTES = 256 * 1024
"""CloudWatch cuts longer lines, too."""


class PrintedLines:
    """The reading end of a pipe that a child process prints into."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        asyncio.get_running_loop().add_reader(self._reading, self.drain)

    def close_writing(self) -> None:
        """Leave the writing end to the child."""
        os.close(self.writing)

    def drain(self) -> None:
        """Take in all that was printed up to now."""
        while True:
            try:
                chunk = os.read(self._reading, CHUNK_BYTES)
            except BlockingIOError:
                return
            if not chunk:  # nobody holds the writing end any more
                asyncio.get_running_loop().remove_reader(self._reading)
                return
            self._take(chunk)

    def close(self) -> None:
        """Take in the rest, ended or not, and close."""
        self.drain()
        if self._rest:
            self._take(b"\n")
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self._reading)

    def _take(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MOST_LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            # The runtime ends the lines of one traceback with \r to keep them one event.
            self._on_line(line.decode(errors="replace").replace("\r", "\n").rstrip())
