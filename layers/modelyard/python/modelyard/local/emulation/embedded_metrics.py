"""Reads metrics in CloudWatch's embedded metric format from printed lines."""

import json
from collections.abc import Iterator
from typing import Any

from modelyard.domain.values import Sample

_DIMENSION = "EndpointName"


def is_embedded(line: str) -> bool:
    """Return whether a printed line contains metrics."""
    return line.startswith("{") and '"_aws"' in line and _document(line) is not None


def samples_in(line: str) -> Iterator[Sample]:
    """Yield the observations in a printed line; an ordinary line has none."""
    document = _document(line)
    if document is None:
        return
    for directive in document["_aws"].get("CloudWatchMetrics", ()):
        for metric in directive.get("Metrics", ()):
            values = document.get(metric["Name"], [])
            for value in values if isinstance(values, list) else [values]:
                yield Sample(metric["Name"], float(value), str(document.get(_DIMENSION, "")))


def _document(line: str) -> dict[str, Any] | None:
    try:
        document = json.loads(line)
    except ValueError:
        return None
    is_metrics = isinstance(document, dict) and isinstance(document.get("_aws"), dict)
    return document if is_metrics else None
