"""Virtual environments layered over the running interpreter, one for each set of requirements.

What the running interpreter lacks is installed by pip into an environment whose packages come
first. The interpreter's own packages never change, and two environments may have different
versions. Requirements are trusted like the code that they belong to: pip obeys all of them, options
such as `--index-url` and paths outside the project included.

Processes and servers share the folder. Each environment has a lock, which the kernel releases when
its holder ends: whoever uses the environment shares it, who installs or removes it has it alone.
"""

import contextlib
import fcntl
import functools
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from modelyard.domain.errors import ConfigurationError
from modelyard.domain.units import render_size
from modelyard.runtimes.requirements import Requirements

_POLL_S = 0.1
"""How often to look whether another process has installed an environment."""

Report = Callable[[str], None]
"""Called with each line of progress."""

_PRINT_SITE_PATHS = """import json, site, sys; bare = set(sys.path); site.main()
print(json.dumps([path for path in sys.path if path not in bare]))"""

_RUN_WHILE_PARENT_LIVES = """import os, sys
from modelyard.inference.guests.process_tree import die_with_parent
die_with_parent(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"""


class Environment:
    """A complete environment. It is not removed before this process calls `release` or ends."""

    def __init__(self, home: Path, lock: int) -> None:
        """`lock` is a descriptor with the lock of the environment, shared with other users."""
        self.home = home
        self.python, self.site_packages = _paths(home)
        self.release = weakref.finalize(self, os.close, lock)
        """Called when this process does not use the environment any more."""


class Environments:
    """The environments in a cache folder. Safe to share between threads.

    Equal requirements share one, unless paths or options of pip may mean something else in each
    folder. If all together exceed a limit, the least recently used are removed.
    """

    def __init__(self, cache_dir: Path, limit_bytes: int = sys.maxsize) -> None:
        self._root = cache_dir.absolute() / "environments"
        self._limit_bytes = limit_bytes
        self._kept: list[Environment] = []

    def find(self, asked: Requirements) -> Environment | None:
        """Return the environment of these requirements, if it is complete and lost no package."""
        home = self._home(asked)
        if not _meets(home, asked):
            return None
        with contextlib.suppress(OSError):  # it was removed in this moment
            environment = Environment(home, _lock(home, fcntl.LOCK_SH))
            os.utime(_mark(home))
            return environment
        return None

    def create(self, asked: Requirements, report: Report) -> Environment:
        """Return the environment of these requirements; install it unless `find` has it.

        pip's working folder is that of the requirements. `report` is called with every line that
        pip prints. A second process that wants the same environment waits and then finds it. The
        limit may be exceeded while this environment is installed.

        Raises:
            ConfigurationError: the installation failed, or needs more space than there is; its
                files are removed.
        """
        home = self._home(asked)
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self.clean()
            while (found := self.find(asked)) is None:
                try:
                    lock = _lock(home, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except (
                    BlockingIOError
                ):  # others install it, or use it already: do not wait for them
                    time.sleep(_POLL_S)
                    continue
                try:
                    if not _meets(home, asked):
                        self._build(home, asked, lock, report)
                finally:
                    os.close(lock)
        except OSError as error:
            reason = f"cannot create an environment: {error.strerror}"
            raise ConfigurationError(f"{asked.name}: {reason}") from error
        return found

    def keep(self, environment: Environment) -> Path:
        """Use an environment for as long as this object exists; return its interpreter."""
        self._kept.append(environment)
        return environment.python

    def clean(self) -> None:
        """Remove what killed installations left behind."""
        for home in self._homes():
            if _Facts.read(home) is None:
                _remove(home, only_incomplete=True)

    def _home(self, asked: Requirements) -> Path:
        folder = str(asked.folder.resolve()) if asked.depends_on_folder else ""
        identity = json.dumps([sys.version, _layer(), asked.lines, folder]).encode()
        return self._root / hashlib.blake2b(identity, digest_size=16).hexdigest()

    def _homes(self) -> list[Path]:
        return [path for path in self._root.glob("*") if path.is_dir()]

    def _build(self, home: Path, asked: Requirements, lock: int, report: Report) -> None:
        # Built in its final place, because its scripts contain their path: the caller's lock and
        # the mark, created last, keep others from using it half-made.
        try:
            _create_layered(home)
            _pip_install(home, asked, lock, report)
            size_bytes = _size_bytes(home)
            self._make_room(home, size_bytes, asked)
            _Facts(size_bytes, asked.missing(_search(home))).write(home)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise

    def _make_room(self, home: Path, needed_bytes: int, asked: Requirements) -> None:
        """Remove the least recently used environments until a new one keeps the limit."""
        found = [(one, _Facts.read(one)) for one in self._homes() if one != home]
        others = [(one, facts) for one, facts in found if facts is not None]
        used_bytes = needed_bytes + sum(facts.size_bytes for _, facts in others)
        for one, facts in sorted(others, key=lambda other: other[1].used_at):
            if used_bytes > self._limit_bytes and _remove(one):
                used_bytes -= facts.size_bytes
        if used_bytes > self._limit_bytes:
            raise ConfigurationError(
                f"{asked.name}: its environment takes {render_size(needed_bytes)}, those in use "
                f"take {render_size(used_bytes - needed_bytes)}, and all together may take "
                f"{render_size(self._limit_bytes)}"
            )


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is written into an environment when it is complete: the mark."""

    size_bytes: int
    missing: list[str]
    """What its requirements missed when it was new: some names only pip knows."""
    used_at: float = 0.0

    @classmethod
    def read(cls, home: Path) -> Self | None:
        """Return the facts of an environment; None if it is not complete."""
        try:
            said = json.loads(_mark(home).read_bytes())
            return cls(said["size_bytes"], said["missing"], _mark(home).stat().st_mtime)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, home: Path) -> None:
        """Declare an environment complete."""
        said = {"size_bytes": self.size_bytes, "missing": self.missing}
        _mark(home).write_text(json.dumps(said))


def _mark(home: Path) -> Path:
    return home / "complete"


def _paths(home: Path) -> tuple[Path, Path]:
    """Return the interpreter and the folder of packages of an environment."""
    paths = sysconfig.get_paths("venv", {"base": str(home)})
    return Path(paths["scripts"], "python"), Path(paths["purelib"])


def _search(home: Path) -> list[str]:
    return [str(_paths(home)[1]), *_layer()]


def _meets(home: Path, asked: Requirements) -> bool:
    facts = _Facts.read(home)
    return facts is not None and facts.missing == asked.missing(_search(home))


def _size_bytes(home: Path) -> int:
    files = (Path(folder, name) for folder, _, names in os.walk(home) for name in names)
    return sum(file.lstat().st_blocks * 512 for file in files)


@functools.cache
def _layer() -> list[str]:
    """Return what `site` adds to the path of a fresh interpreter, editable installs included."""
    command = [sys.executable, "-E", "-P", "-S", "-c", _PRINT_SITE_PATHS]
    printed = subprocess.check_output(command)  # noqa: S603 our own command
    return [path for path in json.loads(printed) if Path(path).is_dir()]


def _lock(home: Path, how: int) -> int:
    """Return a descriptor that holds the lock of an environment; wait for it unless told not to.

    Raises:
        BlockingIOError: others hold it, and `how` includes `LOCK_NB`.
    """
    path = home.with_suffix(".lock")
    while True:
        lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, how)
            if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # its file was removed with the environment


def _remove(home: Path, *, only_incomplete: bool = False) -> bool:
    """Remove an environment that nobody uses or installs; return whether it is gone."""
    try:
        lock = _lock(home, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    try:
        if only_incomplete and _Facts.read(home) is not None:
            return False
        _mark(home).unlink(missing_ok=True)
        shutil.rmtree(home, ignore_errors=True)
        home.with_suffix(".lock").unlink(missing_ok=True)
    finally:
        os.close(lock)
    return True


def _create_layered(home: Path) -> None:
    # The layer brings pip; where the interpreter has none (as uv installs it), it goes in here.
    has_pip = importlib.util.find_spec("pip") is not None
    try:
        venv.create(home, clear=True, symlinks=True, with_pip=not has_pip)
    except subprocess.CalledProcessError as error:
        raise ConfigurationError("--install needs pip: install it into this interpreter") from error
    # Only paths, no code: pip removes them while it builds a package in isolation.
    layer = _paths(home)[1] / "modelyard-layer.pth"
    layer.write_text("".join(f"{path}\n" for path in _layer()), encoding="utf-8")


def _pip_install(home: Path, asked: Requirements, lock: int, report: Report) -> None:
    said: list[str] = []
    temporary = home / "tmp"
    temporary.mkdir()
    with subprocess.Popen(  # noqa: S603 to install what is asked for is its purpose
        _pip_command(home, asked),
        cwd=asked.folder,
        env={**os.environ, "TMPDIR": str(temporary)},  # so that all of it is removed together
        pass_fds=[lock],  # nobody removes the environment before pip ended
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            for line in process.stdout or ():
                said.append(line.rstrip())
                report(said[-1])
        except BaseException:
            process.kill()
            process.wait()  # before the environment is removed
            raise
    if process.returncode != 0:
        end = "\n".join(said[-8:])
        raise ConfigurationError(
            f"{asked.name}: pip cannot install it:\n{end}\nCorrect {asked.name}, or install its "
            "packages into this interpreter and run again without --install"
        )
    shutil.rmtree(temporary)


def _pip_command(home: Path, asked: Requirements) -> list[str]:
    """Return the command that installs requirements and is killed when this process ends."""
    file = asked.file
    if file is None:
        file = home / "requirements.txt"
        file.write_text(asked.text, encoding="utf-8")
    pip = [str(_paths(home)[0]), "-u", "-P", "-m", "pip", "--disable-pip-version-check"]
    install = ["--no-input", "install", "--progress-bar", "off", "-r", str(file.absolute())]
    run = [sys.executable, "-P", "-c", _RUN_WHILE_PARENT_LIVES, str(os.getpid())]
    return [*run, *pip, *install]
