"""Objects of a start-up and the garbage collector."""

import gc

import pytest

from modelyard.aws.frozen_imports import frozen_imports


@pytest.fixture(autouse=True)
def _unfrozen():
    yield
    gc.unfreeze()


def test_objects_of_the_block_are_not_collected_and_later_ones_are() -> None:
    with frozen_imports():
        assert not gc.isenabled()
        within = [[]]

    assert gc.isenabled()
    assert not any(item is within for item in gc.get_objects())
    later = [[]]
    assert any(item is later for item in gc.get_objects())


def test_collector_runs_again_after_a_block_that_failed() -> None:
    with pytest.raises(ImportError), frozen_imports():
        raise ImportError

    assert gc.isenabled()
