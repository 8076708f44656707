import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.cortex.project import ApiModels, ApiProject, ModelLocation, PredictorType
from modelyard.cortex.settings import ApiSettings
from modelyard.inference.settings import WorkerSettings

SETTINGS = st.builds(
    WorkerSettings,
    name=st.text(),
    cache_dir=st.text(),
    memory_bytes=st.integers(0, 1 << 50),
    disk_bytes=st.integers(0, 1 << 50),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
LOCATIONS = st.builds(
    ModelLocation, repository=st.text(), key=st.text(), signature_key=st.none() | st.text()
)
LIMITS = st.none() | st.integers(1, 1 << 31)
MODELS = st.builds(
    ApiModels,
    single=st.none() | LOCATIONS,
    paths=st.dictionaries(st.text(), LOCATIONS, max_size=3),
    directory=st.none() | st.text(),
    signature_key=st.none() | st.text(),
    cache_size=LIMITS,
    disk_cache_size=LIMITS,
)
PROJECTS = st.builds(
    ApiProject,
    name=st.text(),
    type=st.sampled_from(PredictorType),
    folder=st.text(),
    predictor_file=st.text(),
    config=st.dictionaries(st.text(), VALUES, max_size=3),
    env=st.dictionaries(st.text(), st.text(), max_size=3),
    python_path=st.none() | st.text(),
    threads=st.integers(1, 512),
    text_as_str=st.booleans(),
    models=st.none() | MODELS,
)
API_SETTINGS = st.builds(
    ApiSettings,
    project=PROJECTS,
    repository=st.text(),
    revalidate_s=st.floats(0, 1e6),
    window_s=st.floats(0, 1e6),
)
WORKER = WorkerSettings("api", "cache", 1, 1, 1)


def api_settings(
    models: ApiModels | None = None, *, repository: str = "file:///cortex.yaml#api"
) -> ApiSettings:
    project = ApiProject("api", PredictorType.PYTHON, "/project", "predictor.py", models=models)
    return ApiSettings(project, repository, revalidate_s=10.0, window_s=25.0)


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


@given(API_SETTINGS)
def test_settings_of_an_api_arrive_as_one_line(settings: ApiSettings) -> None:
    line = settings.to_line()

    assert b"\n" not in line
    assert ApiSettings.from_line(line + b"\n") == settings


@pytest.mark.parametrize("value", [math.inf, -math.inf, 10**400, "\ud800"], ids=ascii)
def test_config_of_an_api_arrives_as_it_was_written(value: object) -> None:
    settings = api_settings()
    settings = replace(settings, project=replace(settings.project, config={"value": value}))

    assert ApiSettings.from_line(settings.to_line()) == settings


def test_config_may_hold_what_is_no_number() -> None:
    settings = api_settings()
    settings = replace(settings, project=replace(settings.project, config={"value": math.nan}))

    found = ApiSettings.from_line(settings.to_line()).project.config["value"]

    assert math.isnan(found)


def test_artifacts_of_an_api_lie_with_all_others() -> None:
    models = ApiModels(directory="file:///models/")

    assert api_settings().artifacts_dir(WORKER) == Path("cache/artifacts")
    assert api_settings(models).artifacts_dir(WORKER) == Path("cache/artifacts")


def test_api_that_limits_its_models_on_disk_has_a_folder_of_its_own() -> None:
    models = ApiModels(directory="file:///models/", cache_size=1, disk_cache_size=2)

    one = api_settings(models).artifacts_dir(WORKER)
    other = api_settings(models, repository="file:///other/cortex.yaml#api").artifacts_dir(WORKER)

    assert one.parent == Path("cache/apis")
    assert one.name.startswith("api-")
    assert one != other
