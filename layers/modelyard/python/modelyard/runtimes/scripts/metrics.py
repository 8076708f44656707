"""What a script measures, written to the log as SageMaker's model server (Multi Model Server) does.

    def predict_fn(value, model, context):
        context.metrics.add_time("Lookup", 12.5)

prints `[METRICS]Lookup.Milliseconds:12.5|#ModelName:m,Level:Model|#hostname:h,1733000000,ID`.
"""

import socket
import time
from collections.abc import Iterable
from typing import Any

_UNITS = {
    "ms": "Milliseconds",
    "s": "Seconds",
    "percent": "Percent",
    "B": "Bytes",
    "KB": "Kilobytes",
    "MB": "Megabytes",
    "GB": "Gigabytes",
}


class ScriptMetrics:
    """The measurements of one call; `idx` is accepted and has no effect: there is one request."""

    def __init__(self, model_name: str, request_id: str) -> None:
        self._model_name = model_name
        self._request_id = request_id
        self._values: dict[tuple[str, str, str], Any] = {}

    def add_counter(
        self, name: str, value: float, idx: Any = None, dimensions: Iterable[Any] | None = None
    ) -> None:
        """Add to a counter of this call."""
        key = self._key(name, "Count", dimensions)
        self._values[key] = self._values.get(key, 0) + value

    def add_time(
        self,
        name: str,
        value: float,
        idx: Any = None,
        unit: str = "ms",
        dimensions: Iterable[Any] | None = None,
    ) -> None:
        """Set a duration, in `ms` or `s`."""
        self._set(name, value, unit, ("ms", "s"), dimensions)

    def add_size(
        self,
        name: str,
        value: float,
        idx: Any = None,
        unit: str = "MB",
        dimensions: Iterable[Any] | None = None,
    ) -> None:
        """Set a size, in `B`, `KB`, `MB` or `GB`."""
        self._set(name, value, unit, ("B", "KB", "MB", "GB"), dimensions)

    def add_percent(
        self, name: str, value: float, idx: Any = None, dimensions: Iterable[Any] | None = None
    ) -> None:
        """Set a percentage."""
        self._set(name, value, "percent", ("percent",), dimensions)

    def add_error(self, name: str, value: Any, dimensions: Iterable[Any] | None = None) -> None:
        """Set what went wrong."""
        self._values[self._key(name, "", dimensions)] = value

    def write(self) -> None:
        """Print the measurements and forget them."""
        if not self._values:
            return
        end = f"#hostname:{socket.gethostname()},{int(time.time())},{self._request_id}"
        for (name, unit, dimensions), value in self._values.items():
            print(f"[METRICS]{name}.{unit}:{value}|#{dimensions}|{end}", flush=True)  # noqa: T201
        self._values.clear()

    def _set(
        self,
        name: str,
        value: float,
        unit: str,
        allowed: tuple[str, ...],
        dimensions: Iterable[Any] | None,
    ) -> None:
        if unit not in allowed:
            raise ValueError(f"the unit {unit!r} of {name}; allowed: {', '.join(allowed)}")
        self._values[self._key(name, _UNITS[unit], dimensions)] = value

    def _key(self, name: str, unit: str, dimensions: Iterable[Any] | None) -> tuple[str, str, str]:
        listed = [*map(str, dimensions or ()), f"ModelName:{self._model_name}", "Level:Model"]
        return name, unit, ",".join(listed)
