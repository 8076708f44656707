"""The `.env` file of a Cortex project, whose variables its class finds in `os.environ`.

Cortex v0.24 sources it in bash (`set -a; source .env`) before it starts the class, so its values
replace those of `predictor.env`. Here the assignments are read and nothing is executed.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from modelyard.domain.errors import ConfigurationError

NAME = ".env"

_SPACE = re.compile(r"(?:\s|\\\n|#[^\n]*)*")
_SEPARATOR = re.compile(r"(?:[ \t]|\\\n)*;")
"""What may follow an assignment, once: bash refuses a semicolon behind nothing."""
_ASSIGNMENT = re.compile(r"(?:export[ \t]+)?([A-Za-z_]\w*)=", re.ASCII)
_PIECE = re.compile(
    r"""'(?P<literal>[^']*)'|"(?P<quoted>(?:[^"\\]|\\.)*)"|\\(?P<escaped>.)|"""
    r"""(?P<plain>[^\s'"\\;&|<>()]+)""",
    re.DOTALL,
)
_VALUE_END = re.compile(r"[\s;]|\Z")
_IN_QUOTES = re.compile(r"\\([$`\"\\])|\\(\n)|" r"\$\{(\w+)\}|\$([A-Za-z_]\w*)|(\$[({\d$?!#*@-]|`)")
_ALLOWED = "allowed: NAME=value, as a shell reads it; commands are not run"


def read_env_file(folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the `.env` in a project's folder; none if there is no such file.

    Quotes, escapes, comments, `export` and `$NAME` mean what they mean in bash. `$NAME` is looked
    up in the lines above and in `env`, the variables of the config file.

    Raises:
        ConfigurationError: the file cannot be read, or a line is not an assignment.
    """
    path = folder / NAME
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{NAME}: cannot be read as UTF-8 text") from error
    if "\0" in text:
        raise ConfigurationError(f"{NAME}: contains a NUL character")
    return _Reader(text, env).read()


class _Reader:
    def __init__(self, text: str, env: Mapping[str, str]) -> None:
        self._text = text
        self._position = 0
        self._env = env
        self._variables: dict[str, str] = {}

    def read(self) -> dict[str, str]:
        while self._skip_space() < len(self._text):
            assignment = _ASSIGNMENT.match(self._text, self._position)
            if assignment is None:
                raise self._error(f"found {self._text[self._position :].splitlines()[0][:40]!r}")
            self._position = assignment.end()
            self._variables[assignment[1]] = self._value()
            if separator := _SEPARATOR.match(self._text, self._position):
                self._position = separator.end()
        return self._variables

    def _skip_space(self) -> int:
        space = _SPACE.match(self._text, self._position)
        self._position = space.end() if space else self._position
        return self._position

    def _value(self) -> str:
        pieces: list[str] = []
        while piece := _PIECE.match(self._text, self._position):
            match piece.lastgroup:
                case "literal":
                    pieces.append(piece["literal"])
                case "escaped":
                    pieces.append(piece["escaped"].replace("\n", ""))
                case group:
                    assert group is not None
                    pieces.append(_IN_QUOTES.sub(self._expanded, piece[group]))
            self._position = piece.end()
        if _VALUE_END.match(self._text, self._position) is None:
            raise self._error(f"found {self._text[self._position]!r} in a value")
        return "".join(pieces)

    def _expanded(self, found: re.Match[str]) -> str:
        escaped, newline, braced, named, command = found.groups()
        if escaped or newline:
            return str(escaped or "")
        name = braced or named
        if command or not name:
            raise self._error(f"found {found[0]!r}, which only a shell can expand")
        value = self._variables.get(name, self._env.get(name))
        if value is None:
            raise self._error(f"${name} is not set above, nor in predictor.env")
        return value

    def _error(self, problem: str) -> ConfigurationError:
        line = self._text.count("\n", 0, self._position) + 1
        return ConfigurationError(f"{NAME}: line {line}: {problem}; {_ALLOWED}")
