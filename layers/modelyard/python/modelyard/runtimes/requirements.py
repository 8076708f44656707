"""What a project or a model asks pip for, as far as it can be told without pip.

Names with versions and environment markers are compared with what is installed, in a requirements
file and in those it names by `-r`; a URL counts by its name, its `#egg=` or the name of its wheel.
Everything else only pip can tell: a path, a URL without a name, the packages of an extra.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Self

from packaging.requirements import Requirement

from modelyard.domain.errors import ConfigurationError

_COMMENT = re.compile(r"(^|\s)#.*$")
_LOCATION = re.compile(r"\.|[^@;\[\s]*([/\\:]|\.(whl|zip|tgz|tar\.\w+)(?=[\[;\s]|$))")
_EGG = re.compile(r"[#&]egg=([\w.-]+)", re.ASCII)
_WHEEL = re.compile(r"(?:^|[/\\])([\w.]+)-\d[^/\\\s]*\.whl(?=[\[;\s#?]|$)", re.ASCII)
_NESTED = re.compile(r"(-r|--requirement|-c|--constraint)[\s=]*(?!.*://)(.+)")
_EDITABLE = re.compile(r"(-e|--editable)[\s=]+")


@dataclass(slots=True)
class Requirements:
    """The requirements of one project or model."""

    name: str
    """What messages call them: the name of the file."""
    folder: Path
    """The folder that relative paths in them start from, and pip's working folder."""
    file: Path | None = None
    """The file that pip reads; None if `text` is all there is."""
    text: str = ""
    """What pip reads if there is no file."""
    lines: list[str] = field(default_factory=list)
    """All lines without comments, those of nested files included; they identify an environment."""
    named: list[Requirement] = field(default_factory=list)
    """Requirements with a name whose environment marker holds here."""
    not_understood: list[str] = field(default_factory=list)
    """A message for each line that pip will refuse."""
    needs_pip: bool = False
    """Whether only pip can tell if everything is installed."""
    depends_on_folder: bool = False
    """Whether a path or an option of pip may mean something else in another folder."""

    @classmethod
    def of_file(cls, file: Path, name: str | None = None) -> Self:
        """Return the requirements in a file and in those that it names.

        Raises:
            ConfigurationError: a file that cannot be read.
        """
        asked = cls(name or file.name, file.parent, file)
        asked._collect(file, set())
        return asked

    @classmethod
    def of_lines(cls, name: str, folder: Path, lines: Iterable[str]) -> Self:
        """Return the requirements that these lines would make in a file of `folder`.

        Raises:
            ConfigurationError: a nested file that cannot be read.
        """
        asked = cls(name, folder)
        for number, line in enumerate(lines, start=1):
            nested = _NESTED.fullmatch(line)  # pip reads the lines from a file elsewhere
            own = line if nested is None else f"{nested[1]} {folder / nested[2]}"
            asked.text += f"{own}\n"
            asked._add_line(line, folder, f"{name}: line {number}", set())
        return asked

    def missing(self, search: Sequence[str] | None = None) -> list[str]:
        """Return one line per requirement that `search` (default: `sys.path`) does not meet.

        What only pip can tell counts as installed.
        """
        paths = list(sys.path if search is None else search)
        unmet = [line for one in self.named if (line := _unmet(one, paths))]
        return [*unmet, *self.not_understood]

    def unmet(self) -> str:
        """Return what is missing and how to get it, as a clause for people."""
        return (
            f"{self.name} requires what this server does not have ({', '.join(self.missing())}): "
            "start the server with --install, or install it for the server"
        )

    def _collect(self, file: Path, seen: set[Path]) -> None:
        text = text_of(file)  # refuses a name that no file can have
        if file.resolve() in seen:
            return
        seen.add(file.resolve())
        for number, line in logical_lines(text):
            self._add_line(line, file.parent, f"{file.name}: line {number}", seen)

    def _add_line(self, line: str, folder: Path, where: str, seen: set[Path]) -> None:
        self.lines.append(line)
        requirement = _EDITABLE.sub("", line, count=1) if _EDITABLE.match(line) else line
        if nested := _NESTED.fullmatch(line):
            option, path = nested[1], folder / nested[2].strip("'\"")
            if option in ("-r", "--requirement"):
                self._collect(path, seen)
            else:
                self.lines.append(text_of(path))
        elif requirement.startswith("-"):
            self.needs_pip = self.depends_on_folder = True
        else:
            said = re.split(r"\s-", requirement, maxsplit=1)[0]  # options follow a requirement
            self._add(said, where)

    def _add(self, text: str, where: str) -> None:
        if _LOCATION.match(text):
            self.needs_pip = self.depends_on_folder = True
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


def text_of(file: Path) -> str:
    """Return the text of a file.

    Raises:
        ConfigurationError: it does not exist or is not text in UTF-8.
    """
    try:
        if file.is_file():  # a device such as /dev/zero never ends
            return file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file.name}: cannot be read as UTF-8 text") from error
    raise ConfigurationError(f"{file.name}: this file does not exist")


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
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
