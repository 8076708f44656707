"""Which events a process logs, and how: options of `serve`, which its children read, too."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

_FORMAT_VARIABLE, _LEVEL_VARIABLE = "MODELYARD_LOG_FORMAT", "MODELYARD_LOG_LEVEL"


class LogFormat(StrEnum):
    """The values of `--log-format`."""

    TEXT = "text"
    JSON = "json"
    OFF = "off"


class LogLevel(StrEnum):
    """The values of `--log-level`."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Which events are logged, and how."""

    format: LogFormat = LogFormat.TEXT
    level: LogLevel = LogLevel.INFO

    def to_environ(self) -> dict[str, str]:
        """Return the environment variables that tell a child process."""
        return {_FORMAT_VARIABLE: self.format.value, _LEVEL_VARIABLE: self.level.value}

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return what `to_environ` of the parent process wrote; the defaults without it."""
        return cls(
            LogFormat(environ.get(_FORMAT_VARIABLE, LogFormat.TEXT)),
            LogLevel(environ.get(_LEVEL_VARIABLE, LogLevel.INFO)),
        )
