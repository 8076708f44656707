"""What guests print, as log lines with the name of their model."""

import contextlib
import logging
import os
import selectors
import threading
from dataclasses import dataclass, field

from modelyard.domain.requests import REQUEST_ID

logger = logging.getLogger("print")

MAX_LINE_BYTES = 4096
"""Of a longer line the rest is not logged."""
_READ_BYTES = 1 << 16


@dataclass(slots=True)
class Printer:
    """The output of one guest."""

    model: str
    descriptor: int
    request_id: str = ""
    """The call that the guest answers now."""
    _line: bytearray = field(default_factory=bytearray)

    def log(self, data: bytes) -> None:
        """Log the lines that these bytes complete, and keep the rest."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._keep(line)
            self.log_rest()
        self._keep(rest)

    def log_rest(self) -> None:
        """Log what was kept of a line that has not ended."""
        text = _last_shown(self._line.decode(errors="replace"))
        self._line.clear()
        if text.strip():
            REQUEST_ID.set(self.request_id)
            logger.info("%s", text, extra={"model": self.model})

    def _keep(self, part: bytes) -> None:
        self._line += part[: max(0, MAX_LINE_BYTES - len(self._line))]


class GuestOutput:
    """Reads the pipes of all guests in one thread, which runs while there are guests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._selector: selectors.BaseSelector | None = None

    def follow(self, printer: Printer) -> None:
        """Log what arrives at the printer's pipe until all its writers have ended; close it then.

        Raises:
            RuntimeError: no thread can be started.
        """
        with self._lock:
            if self._selector is not None:
                self._selector.register(printer.descriptor, selectors.EVENT_READ, printer)
                return
            selector = selectors.DefaultSelector()
            selector.register(printer.descriptor, selectors.EVENT_READ, printer)
            threading.Thread(
                target=self._read_all, args=(selector,), name="guest output", daemon=True
            ).start()
            self._selector = selector

    def _read_all(self, selector: selectors.BaseSelector) -> None:
        while True:
            for key, _ in selector.select():
                if _is_at_end(key.data):
                    selector.unregister(key.data.descriptor)
                    os.close(key.data.descriptor)
            with self._lock:
                if not selector.get_map():
                    selector.close()
                    self._selector = None
                    return


def _is_at_end(printer: Printer) -> bool:
    """Log what the pipe holds; returns whether it will never hold more."""
    data = os.read(printer.descriptor, _READ_BYTES)
    with contextlib.suppress(Exception):  # a log that cannot be written must not end the thread
        if data:
            printer.log(data)
        else:
            printer.log_rest()
    return not data


def _last_shown(line: str) -> str:
    """Return what a terminal shows of a line with carriage returns, as in progress bars."""
    return line.rstrip("\r").rpartition("\r")[2]
