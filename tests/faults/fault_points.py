"""Fault points by name: every step of a process on its cache tree, and the fault injected there.

Python tells an audit hook of each call to the file system before it is made. So production code
needs no hooks: a fault point is named after the call and the part of the tree it is about to touch.
"""

import errno
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KILL = "kill"
ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EROFS", "EIO", "EDQUOT")}
_VERBS = {
    "os.mkdir": "make",
    "os.rename": "rename",
    "os.remove": "remove",
    "os.rmdir": "remove folder",
    "os.symlink": "link",
    "os.utime": "touch",
    "os.scandir": "list",
}
_READS = {"list", "look", "read"}
_LEAVES = {"manifest.json": "manifest"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at the `nth` time this point is reached, and at the `times - 1` after it."""

    point: str
    kind: str = KILL
    nth: int = 1
    times: int = 1


class FaultPoints:
    """Names the fault points that a process reaches and injects a fault at one of them."""

    def __init__(self, root: Path, tell: Callable[[str], None], fault: Fault | None = None) -> None:
        self.watch(root)
        self._tell = tell
        self.fault = fault
        self._lock = threading.Lock()

    def watch(self, root: Path) -> None:
        """Count the fault points of this tree from now on, starting at zero."""
        self._root = f"{root}/"
        self.counts: Counter[str] = Counter()

    def install(self) -> None:
        """From now on, until the process ends: audit hooks cannot be removed."""
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" and event not in _VERBS:
            return
        name = self._name(event, arguments)
        if name is None:
            return
        with self._lock:
            self.counts[name] += 1
            if self.counts[name] == 1:
                self._tell(name)
            fault, count = self.fault, self.counts[name]
        if fault is not None and fault.point in (name, "*"):
            self._strike(fault, name, count)

    def _strike(self, fault: Fault, name: str, count: int) -> None:
        if fault.point == "*":
            if name.partition(" ")[0] in _READS:
                return
        elif not fault.nth <= count < fault.nth + fault.times:
            return
        self._tell(f"{fault.kind} at {name}")
        if fault.kind == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        code = ERRORS[fault.kind]
        raise OSError(code, os.strerror(code))

    def _name(self, event: str, arguments: tuple[Any, ...]) -> str | None:
        if event == "os.rename":
            source, target = self._place(arguments[0], -1), self._place(arguments[1], -1)
            return f"rename {source} to {target}" if source and target else None
        if event == "os.symlink":
            return self._named("link", arguments[1], -1)
        if event == "open":
            place, verb = arguments[0], _open_verb(arguments[2])
            return self._named(verb, place, -1)
        folder = arguments[-1] if event in ("os.remove", "os.rmdir", "os.mkdir") else -1
        return self._named(_VERBS[event], arguments[0], folder)

    def _named(self, verb: str, path: object, folder: int) -> str | None:
        place = self._place(path, folder)
        return f"{verb} {place}" if place else None

    def _place(self, path: object, folder: int) -> str | None:
        """Return which part of the tree a path is in; None when it is elsewhere."""
        if isinstance(path, int):
            path = _opened(path)
        if not isinstance(path, str | os.PathLike):
            return None
        text = os.fspath(path)
        if folder >= 0:
            text = f"{_opened(folder)}/{text}"
        if not text.startswith(self._root):
            return None
        room, *below = text.removeprefix(self._root).split("/")
        if len(below) < 2:
            return room
        return f"{room} {_LEAVES.get(below[-1], 'model')}"


def _opened(descriptor: int) -> str:
    return os.fspath(Path(f"/proc/self/fd/{descriptor}").readlink())


def _open_verb(flags: int) -> str:
    if flags & os.O_DIRECTORY:
        return "look"
    return "write" if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else "read"
