"""The Python interpreter of a Cortex project: one that has what its requirements.txt asks for.

What the running interpreter lacks is installed by pip into a virtual environment layered over it,
whose packages come first. The interpreter's own packages never change, and two projects may use
different versions. A requirements.txt is trusted like the project's class: with `--install`, pip
obeys all of it, options such as `--index-url` and paths outside the project included.
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
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

from modelyard.cortex.project import ApiProject
from modelyard.domain.errors import ConfigurationError

Report = Callable[[str], None]
"""Called with each line of progress."""

_COMMENT = re.compile(r"(^|\s)#.*$")
_LOCATION = re.compile(r"\.|[^@;\[\s]*([/\\:]|\.(whl|zip|tgz|tar\.\w+)(?=[\[;\s]|$))")
_EGG = re.compile(r"[#&]egg=([\w.-]+)", re.ASCII)
_WHEEL = re.compile(r"(?:^|[/\\])([\w.]+)-\d[^/\\\s]*\.whl(?=[\[;\s#?]|$)", re.ASCII)
_NESTED = re.compile(r"(-r|--requirement|-c|--constraint)[\s=]*(?!.*://)(.+)")
_EDITABLE = re.compile(r"(-e|--editable)[\s=]+")
_PRINT_SITE_PATHS = """import json, site, sys; bare = set(sys.path); site.main()
print(json.dumps([path for path in sys.path if path not in bare]))"""


def requirements_file(project_folder: Path, predictor_file: str) -> Path | None:
    """Return the requirements.txt of a project: at its root as in Cortex, or by the predictor."""
    folders = (project_folder, (project_folder / predictor_file).parent)
    return next((file for one in folders if (file := one / "requirements.txt").is_file()), None)


def ignored_files(project_folder: Path) -> list[str]:
    """Return the files of a project that Cortex installs from and Modelyard does not."""
    names = ("conda-packages.txt", "dependencies.sh")
    return [name for name in names if (project_folder / name).is_file()]


def missing_requirements(file: Path, search: Sequence[str] | None = None) -> list[str]:
    """Return one line per requirement that `search` (default: `sys.path`) does not meet.

    Names with versions and environment markers are compared here, in the file and in those it
    names by `-r`; a URL counts by its name, its `#egg=` or the name of its wheel. Everything else
    only pip can tell: a path, a URL without a name, the packages of an extra. It counts as
    installed.

    Raises:
        ConfigurationError: a file that cannot be read.
    """
    paths = list(sys.path if search is None else search)
    asked = _read(file)
    unmet = [line for one in asked.named if (line := _unmet(one, paths))]
    return [*unmet, *asked.not_understood]


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment layered over the running interpreter."""

    home: Path
    python: Path
    site_packages: Path
    mark: Path
    """A file that exists once the environment is complete."""


class Environments:
    """The environments in a cache folder, one for each content of the requirements files.

    Projects with equal requirements share one, unless paths or options of pip may mean something
    else in each folder. Every method raises ConfigurationError if a file cannot be read.
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

        The file's folder is pip's working folder. `report` is called with every line that pip
        prints. A second process that wants the same environment waits and then finds it.

        Raises:
            ConfigurationError: the installation failed; its files are removed.
        """
        environment = self._environment(file)
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with environment.home.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process, however that ends
                if self.find(file) is None:
                    _build(environment, file, report)
        except OSError as error:
            reason = f"cannot create an environment: {error.strerror}"
            raise ConfigurationError(f"{file.name}: {reason}") from error
        return environment

    def _environment(self, file: Path) -> Environment:
        asked = _read(file)
        folder = str(file.parent.resolve()) if asked.needs_pip else ""
        identity = json.dumps([sys.version, _layer(), asked.lines, folder]).encode()
        home = self._root / hashlib.blake2b(identity, digest_size=16).hexdigest()
        paths = sysconfig.get_paths("venv", {"base": str(home)})
        python, site_packages = Path(paths["scripts"], "python"), Path(paths["purelib"])
        return Environment(home, python, site_packages, mark=home / "complete")


def python_for(
    project: ApiProject, environments: Environments, *, install: bool, report: Report
) -> Path:
    """Return the interpreter that has what a project's requirements.txt asks for.

    That is the running one if it meets them, else an environment; `install` creates it.

    Raises:
        ConfigurationError: something is missing and `install` is false; pip failed; a file that
            cannot be read.
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
        f"{name}: {'; '.join(missing)}. Run again with --install, which installs them into a "
        f"separate environment, or: pip install -r {name}"
    )


@dataclass(slots=True)
class _Asked:
    """What a requirements file and the files it names say, as far as it can be told without pip."""

    lines: list[str] = field(default_factory=list)
    """All lines without comments, which identify the environment."""
    named: list[Requirement] = field(default_factory=list)
    """Requirements with a name whose environment marker holds here."""
    not_understood: list[str] = field(default_factory=list)
    """A message for each line that pip will refuse."""
    needs_pip: bool = False
    """Whether only pip can tell if everything is installed."""

    def add(self, text: str, where: str) -> None:
        if _LOCATION.match(text):
            self.needs_pip = True
            if name := _EGG.search(text) or _WHEEL.search(text):
                self.named.append(Requirement(name[1]))
            return
        try:
            requirement = Requirement(text)
            applies = requirement.marker is None or requirement.marker.evaluate()
        except (ValueError, LookupError) as error:  # LookupError: an unknown marker
            reason = str(error).partition("\n")[0]
            self.not_understood.append(f"{where}: {text!r} is not a requirement: {reason}")
            return
        if applies:
            self.named.append(requirement)
            self.needs_pip |= bool(requirement.extras)


def _read(file: Path) -> _Asked:
    asked = _Asked()
    _collect(file, asked, set())
    return asked


def _collect(file: Path, asked: _Asked, seen: set[Path]) -> None:
    text = _text(file)  # refuses a name that no file can have
    if file.resolve() in seen:
        return
    seen.add(file.resolve())
    for number, line in _logical_lines(text):
        asked.lines.append(line)
        requirement = _EDITABLE.sub("", line, count=1) if _EDITABLE.match(line) else line
        if nested := _NESTED.fullmatch(line):
            option, path = nested[1], file.parent / nested[2].strip("'\"")
            if option in ("-r", "--requirement"):
                _collect(path, asked, seen)
            else:
                asked.lines.append(_text(path))
        elif requirement.startswith("-"):
            asked.needs_pip = True
        else:
            said = re.split(r"\s-", requirement, maxsplit=1)[0]  # options follow a requirement
            asked.add(said, f"{file.name}: line {number}")


def _text(file: Path) -> str:
    try:
        if file.is_file():  # a device such as /dev/zero never ends
            return file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file.name}: cannot be read as UTF-8 text") from error
    raise ConfigurationError(f"{file.name}: this file does not exist")


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line with its number; a backslash at its end joins the next, as in pip."""
    parts: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        kept = _COMMENT.sub("", line)
        parts.append(kept.removesuffix("\\"))
        if kept.endswith("\\"):
            continue
        if joined := "".join(parts).strip():
            yield number - len(parts) + 1, joined
        parts = []


def _unmet(asked: Requirement, search: list[str]) -> str | None:
    found = distributions(name=asked.name, path=search)
    version = next(filter(None, map(_version, found)), None)
    if version is not None and asked.specifier.contains(version, prereleases=True):
        return None
    state = "not installed" if version is None else f"{version} is installed"
    return f"{asked.name}{asked.specifier}: {state}"


def _version(found: Distribution) -> str | None:
    """Return the version of a package; None for what is left of one that was uninstalled."""
    try:
        return found.version if "Version" in found.metadata else None
    except FileNotFoundError:  # the package `importlib_metadata`, which replaces the finder
        return None


@functools.cache
def _layer() -> list[str]:
    """Return what `site` adds to the path of a fresh interpreter, editable installs included."""
    command = [sys.executable, "-E", "-P", "-S", "-c", _PRINT_SITE_PATHS]
    printed = subprocess.check_output(command)  # noqa: S603 our own command
    return [path for path in json.loads(printed) if Path(path).is_dir()]


def _build(environment: Environment, file: Path, report: Report) -> None:
    # Built in its final place, because its scripts contain their path: the caller's lock and the
    # mark, created last, keep others from using it half-made.
    environment.mark.unlink(missing_ok=True)
    try:
        _create_layered(environment)
        _pip_install(environment, file, report)
        environment.mark.touch()
    except BaseException:
        shutil.rmtree(environment.home, ignore_errors=True)
        raise


def _create_layered(environment: Environment) -> None:
    # The layer brings pip; where the interpreter has none (as uv installs it), it goes in here.
    has_pip = importlib.util.find_spec("pip") is not None
    try:
        venv.create(environment.home, clear=True, symlinks=True, with_pip=not has_pip)
    except subprocess.CalledProcessError as error:
        raise ConfigurationError("--install needs pip: install it into this interpreter") from error
    # Only paths, no code: pip removes them while it builds a package in isolation.
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
            process.wait()  # before the environment is removed
            raise
    if process.returncode != 0:
        end = "\n".join(said[-8:])
        raise ConfigurationError(
            f"{file.name}: pip cannot install it:\n{end}\nCorrect {file.name}, or install its "
            "packages into this interpreter and run again without --install"
        )
