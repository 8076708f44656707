from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.settings import WorkerSettings

SETTINGS = st.builds(
    WorkerSettings,
    name=st.text(),
    cache_dir=st.text(),
    memory_bytes=st.integers(0, 1 << 50),
    disk_bytes=st.integers(0, 1 << 50),
    predict_slots=st.integers(1, 64),
)


@given(SETTINGS)
def test_settings_arrive_as_one_line(settings: WorkerSettings) -> None:
    line = settings.to_line()

    assert b"\n" not in line
    assert WorkerSettings.from_line(line + b"\n") == settings


def test_artifacts_lie_below_the_cache_folder() -> None:
    settings = WorkerSettings("worker-0", "cache", 1, 1, 1)

    assert settings.artifacts_dir == Path("cache/artifacts")


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        WorkerSettings.from_line(b'{"colour": "red"}')
