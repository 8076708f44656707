"""Which tests pytest-xdist runs in one process, and in which order."""

from collections import Counter

import pytest
from xdist.scheduler import LoadFileScheduling

TOGETHER = {
    "tests/infra/test_": "CDK",
    "tests/functional/test_cortex_tensorflow.py": "TensorFlow",
    "tests/functional/test_tensorflow_models.py": "TensorFlow",
    "tests/unit/cortex/clients/test_cortex_clients.py": "TensorFlow",
    "tests/unit/runtimes/test_saved_model.py": "TensorFlow",
    "tests/unit/runtimes/test_tensorflow.py": "TensorFlow",
}
"""What files share that takes a process many seconds, by the beginning of their path."""
_SECONDS = {
    "tests/contract/": 0.1,
    "tests/docs/": 0.2,
    "tests/faults/": 1.0,
    "tests/functional/": 0.5,
    "tests/infra/": 0.3,
}
_LONG_S = 15.0
_SHORT_S = 0.03


class FilesTogether(LoadFileScheduling):
    """Gives all tests of a file to one process, and so those of files that share much."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


def slowest_first(items: list[pytest.Item]) -> None:
    """Sort the tests so that the files that take longest start first.

    A file that takes minutes and starts last keeps one process busy while the others have ended.
    The seconds are roughly those of an average test of a folder.
    """
    seconds: Counter[str] = Counter()
    for item in items:
        seconds[_group(item.nodeid)] += _estimate_s(item)
    items.sort(key=lambda item: -seconds[_group(item.nodeid)])


def _group(nodeid: str) -> str:
    shared = (name for beginning, name in TOGETHER.items() if nodeid.startswith(beginning))
    return next(shared, nodeid.partition("::")[0])


def _estimate_s(item: pytest.Item) -> float:
    if item.get_closest_marker("long"):
        return _LONG_S
    found = (time_s for folder, time_s in _SECONDS.items() if item.nodeid.startswith(folder))
    return next(found, _SHORT_S)
