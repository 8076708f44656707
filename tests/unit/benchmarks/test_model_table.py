"""The least-recently-used table of the hand-written servers."""

from pathlib import Path

import pytest

from benchmarks.peers.system import APPS


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(str(APPS))
    import model_table

    monkeypatch.setattr(model_table, "load", lambda path: f"model of {path}")
    return model_table.ModelTable(Path("folder"), capacity=2)


def test_model_is_loaded_once(table):
    assert table.find("a") == table.find("a") == "model of folder/a"
    assert (table.hits, table.misses) == (1, 1)


def test_least_recently_used_model_makes_room(table):
    for name in ("a", "b", "a", "c", "a", "b"):
        table.find(name)

    assert (table.hits, table.misses) == (2, 4)
