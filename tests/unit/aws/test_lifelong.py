"""What a function makes as it starts, and the garbage collector."""

import gc

import pytest

from modelyard.aws.lifelong import lifelong


@pytest.fixture(autouse=True)
def _unfrozen():
    yield
    gc.unfreeze()


def test_collector_passes_by_what_was_made_within_and_looks_at_what_comes_later() -> None:
    with lifelong():
        assert not gc.isenabled()
        within = [[]]

    assert gc.isenabled()
    assert not any(item is within for item in gc.get_objects())
    later = [[]]
    assert any(item is later for item in gc.get_objects())


def test_collector_goes_on_after_an_init_phase_that_failed() -> None:
    with pytest.raises(ImportError), lifelong():
        raise ImportError

    assert gc.isenabled()
