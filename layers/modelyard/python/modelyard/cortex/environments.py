"""What a Cortex project's requirements.txt asks for, and the interpreter that has it.

What the running interpreter lacks goes into a virtual environment layered over it, whose packages
come first. The interpreter's own never change, and two projects may differ in their versions.
"""

import fcntl
import functools
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement

from modelyard.cortex.project import ApiProject
from modelyard.domain.errors import ConfigurationError

Report = Callable[[str], None]
"""Is told what happens, line by line."""

_ALLOWED = "a requirement such as pandas>=2, a URL or path, or an option of pip"
_COMMENT = re.compile(r"(^|\s)#.*$")
_LOCATION = re.compile(r"\.|[^@;\[\s]*([/\\:]|\.(whl|zip|tgz|tar\.\w+)(?=[\[;\s]|$))")
_FOLLOWED = re.compile(r"(-r|--requirement|-c|--constraint|-e|--editable)[\s=]*(.+)")
_PRINT_SITE_PATHS = """import json, site, sys; bare = set(sys.path); site.main()
print(json.dumps([path for path in sys.path if path not in bare]))"""


def requirements_file(project_folder: Path, predictor_file: str) -> Path | None:
    """Return the requirements.txt of a project: at its root as in Cortex, or by the predictor."""
    folders = (project_folder, (project_folder / predictor_file).parent)
    return next((file for one in folders if (file := one / "requirements.txt").is_file()), None)


def ignored_files(project_folder: Path) -> list[str]:
    """Return the files at the root of a project that Cortex installs from and we do not."""
    names = ("conda-packages.txt", "dependencies.sh")
    return [name for name in names if (project_folder / name).is_file()]


def missing_requirements(file: Path, search: Sequence[str] | None = None) -> list[str]:
    """Return one line per requirement that `search` (default: `sys.path`) does not meet.

    Environment markers are heeded, files named by `-r` followed; a URL counts by its name. What
    only pip can tell is not in it: an extra's packages, what a URL or path without name installs.

    Raises:
        ConfigurationError: a line that cannot be read, by its file's name and its number.
    """
    paths = list(sys.path if search is None else search)
    return [line for asked in _read(file).named if (line := _unmet(asked, paths))]


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment layered over the running interpreter."""

    home: Path
    python: Path
    site_packages: Path
    mark: Path
    """Is there once the environment is complete."""


class Environments:
    """The environments under a cache folder: one per content of a requirements file.

    Comments do not count. A file with URLs, paths or options of pip has its own per folder.
    A line that cannot be read is a ConfigurationError in every method.
    """

    def __init__(self, cache_dir: Path) -> None:
        self._root = cache_dir.absolute() / "environments"

    def find(self, file: Path) -> Environment | None:
        """Return the complete environment of a requirements file if it still meets the file."""
        environment = self._environment(file)
        if not environment.mark.is_file():
            return None
        search = [str(environment.site_packages), *_layer()]
        return None if missing_requirements(file, search) else environment

    def create(self, file: Path, report: Report) -> Environment:
        """Return the environment of a requirements file; install it unless `find` has it.

        The file's folder is pip's working folder. `report` is given every line pip prints. A
        second process that wants the same environment waits and then finds it.

        Raises:
            ConfigurationError: it cannot be installed; nothing is left of the try.
        """
        environment = self._environment(file)
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with environment.home.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process, however that ends
                if self.find(file) is None:
                    _build(environment, file, report)
        except OSError as error:
            reason = f"no environment can be made: {error.strerror}"
            raise ConfigurationError(f"{file.name}: {reason}") from error
        return environment

    def _environment(self, file: Path) -> Environment:
        asked = _read(file)
        folder = "" if asked.is_portable else str(file.parent.resolve())
        identity = json.dumps([sys.version, _layer(), asked.lines, folder]).encode()
        home = self._root / hashlib.blake2b(identity, digest_size=16).hexdigest()
        paths = sysconfig.get_paths("venv", {"base": str(home)})
        python, site_packages = Path(paths["scripts"], "python"), Path(paths["purelib"])
        return Environment(home, python, site_packages, mark=home / "complete")


def python_for(
    project: ApiProject, environments: Environments, *, install: bool, report: Report
) -> Path:
    """Return the interpreter that has what a project's requirements.txt asks for.

    That is the running one if it meets them, else an environment; with `install` it is made.

    Raises:
        ConfigurationError: something is missing and `install` is not given; the install failed;
            a line that cannot be read.
    """
    running = Path(sys.executable)
    file = requirements_file(Path(project.folder), project.predictor_file)
    if file is None:
        return running
    missing = missing_requirements(file)
    if missing or _read(file).needs_pip:
        if found := environments.find(file):
            return found.python
        if install:
            return environments.create(file, report).python
    if not missing:
        return running
    name = os.path.relpath(file, project.folder)
    raise ConfigurationError(
        f"{name}: {'; '.join(missing)}. Run again with --install, which puts them into an "
        f"environment of their own, or: pip install -r {name}"
    )


@dataclass(slots=True)
class _Asked:
    """What a requirements file and the files it names say."""

    lines: list[str] = field(default_factory=list)
    named: list[Requirement] = field(default_factory=list)
    """Those whose environment marker holds here."""
    needs_pip: bool = False
    """Whether only pip can tell if all of it is installed."""
    is_portable: bool = True
    """Whether it means the same in every folder."""

    def add(self, text: str) -> None:
        if _LOCATION.match(text):
            self.needs_pip, self.is_portable = True, False
            return
        requirement = Requirement(text)
        self.is_portable &= requirement.url is None
        if requirement.marker is None or requirement.marker.evaluate():
            self.named.append(requirement)
            self.needs_pip |= bool(requirement.extras)


def _read(file: Path) -> _Asked:
    asked = _Asked()
    _collect(file, asked, set())
    return asked


def _collect(file: Path, asked: _Asked, seen: set[Path]) -> None:
    if file.resolve() in seen:
        return
    seen.add(file.resolve())
    for number, line in _logical_lines(_text(file)):
        asked.lines.append(line)
        try:
            if line.startswith("-"):
                _follow(line, file.parent, asked, seen)
            else:
                asked.add(re.split(r"\s-", line, maxsplit=1)[0])  # options of one requirement
        except (ValueError, LookupError) as error:  # LookupError: an unknown marker
            where = f"{file.name}: line {number}"
            reason = str(error).partition("\n")[0]
            raise ConfigurationError(f"{where}: {reason}; allowed: {_ALLOWED}") from error


def _follow(line: str, folder: Path, asked: _Asked, seen: set[Path]) -> None:
    match = _FOLLOWED.fullmatch(line)
    if match is None:
        asked.is_portable = False
        return
    option, name = match[1], match[2].strip("'\"")
    if option in ("-e", "--editable") or "://" in name:
        asked.needs_pip, asked.is_portable = True, False
    elif option in ("-r", "--requirement"):
        _collect(folder / name, asked, seen)
    else:
        asked.lines.append(_text(folder / name))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{file.name}: cannot be read as UTF-8 text") from error


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield what pip takes for one line and where it starts: continued by a backslash."""
    parts: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        said = _COMMENT.sub("", line)
        parts.append(said.removesuffix("\\"))
        if said.endswith("\\"):
            continue
        if joined := "".join(parts).strip():
            yield number - len(parts) + 1, joined
        parts = []


def _unmet(asked: Requirement, search: list[str]) -> str | None:
    found = distributions(name=asked.name, path=search)
    version = next((one.version for one in found if "Version" in one.metadata), None)
    if version is not None and asked.specifier.contains(version, prereleases=True):
        return None
    state = "not installed" if version is None else f"{version} is installed"
    return f"{asked.name}{asked.specifier}: {state}"


@functools.cache
def _layer() -> list[str]:
    """Return what `site` adds to the path of a fresh interpreter, editable installs included."""
    command = [sys.executable, "-E", "-P", "-S", "-c", _PRINT_SITE_PATHS]
    printed = subprocess.check_output(command)  # noqa: S603 our own
    return [path for path in json.loads(printed) if Path(path).is_dir()]


def _build(environment: Environment, file: Path, report: Report) -> None:
    # Under a lock and with a mark set last, but where it stays: its scripts name their folder.
    environment.mark.unlink(missing_ok=True)
    try:
        _create_layered(environment)
        _pip_install(environment, file, report)
        environment.mark.touch()
    except BaseException:
        shutil.rmtree(environment.home, ignore_errors=True)
        raise


def _create_layered(environment: Environment) -> None:
    # pip is found through the layer; an interpreter without it (uv makes such) needs it here.
    has_pip = importlib.util.find_spec("pip") is not None
    try:
        venv.create(environment.home, clear=True, symlinks=True, with_pip=not has_pip)
    except subprocess.CalledProcessError as error:
        raise ConfigurationError("--install needs pip: install it into this interpreter") from error
    # Plain paths, no code: pip takes them away while it builds a package in isolation.
    layer = environment.site_packages / "modelyard-layer.pth"
    layer.write_text("".join(f"{path}\n" for path in _layer()), encoding="utf-8")


def _pip_install(environment: Environment, file: Path, report: Report) -> None:
    pip = [str(environment.python), "-u", "-P", "-m", "pip", "--disable-pip-version-check"]
    said: list[str] = []
    with subprocess.Popen(  # noqa: S603 to install what the project asks for is its purpose
        [*pip, "--no-input", "install", "--progress-bar", "off", "-r", file.name],
        cwd=file.parent,
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
            process.wait()  # it writes no more when what it wrote is taken away
            raise
    if process.returncode != 0:
        end = "\n".join(said[-8:])
        raise ConfigurationError(
            f"{file.name}: pip cannot install it:\n{end}\nCorrect {file.name}, or install what "
            "it names into this interpreter and run again without --install"
        )
