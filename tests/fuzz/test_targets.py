"""Every fuzz target in short: its seeds, what crashed it once, and random changes of both."""

import contextlib
import importlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain.errors import ModelyardError
from tests.properties import examples

FOLDER = Path(__file__).parent
TARGETS = sorted(path.stem for path in FOLDER.joinpath("targets").glob("*.py"))
REGRESSIONS = sorted(path for path in FOLDER.glob("regressions/*/*") if path.is_file())


def run(name: str, data: bytes) -> None:
    """Fail on any exception that is not a typed error."""
    target = importlib.import_module(f"tests.fuzz.targets.{name}").target
    with contextlib.suppress(ModelyardError):
        target(data)


def seeds(name: str) -> list[bytes]:
    known = [path.read_bytes() for path in REGRESSIONS if path.parent.name == name]
    return [*importlib.import_module(f"tests.fuzz.targets.{name}").seeds(), *known]


@st.composite
def mutants(draw: st.DrawFn, name: str) -> bytes:
    whole = bytearray(draw(st.sampled_from(seeds(name))))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(whole)))
        whole[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(whole)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_what_crashed_a_target_once_do_not_crash_it(name):
    for seed in seeds(name):
        run(name, seed)


@pytest.mark.hypothesis
@pytest.mark.parametrize("name", TARGETS)
def test_changed_seeds_and_random_bytes_do_not_crash_a_target(name):
    @settings(max_examples=examples(150), deadline=None)
    @given(mutants(name) | st.binary(max_size=200))
    def try_it(data: bytes) -> None:
        run(name, data)

    try_it()
