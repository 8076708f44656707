from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelyard.domain.errors import ModelLoadError
from modelyard.domain.values import ModelId, Payload, TargetModel
from modelyard.inference.environments.model_environments import ModelEnvironments
from modelyard.inference.guests.guest_loading import GuestLoading
from tests.models.script_models import script
from tests.models.wheels import write_wheel

MODEL_ID = ModelId("endpoint", TargetModel("model"))
SCRIPT = """
    import tinypkg

    def model_fn(model_dir):
        return tinypkg.VERSION

    def transform_fn(model, data, content_type, accept):
        return model, "text/plain"
"""
LIMIT_BYTES = 1 << 30

Open = Callable[..., GuestLoading]


@pytest.fixture
def open_loading(tmp_path: Path) -> Iterator[Open]:
    """Return a way to load models with the environments of one cache folder."""
    opened: list[GuestLoading] = []

    def open_one(*, install: bool, limit_bytes: int = LIMIT_BYTES) -> GuestLoading:
        environments = ModelEnvironments(tmp_path / "cache", limit_bytes, install=install)
        opened.append(GuestLoading(1 << 30, environments=environments))
        return opened[-1]

    yield open_one
    for loading in opened:
        loading.close()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip find two versions of `tinypkg` and nothing else."""
    for number in ("1.0", "2.0"):
        write_wheel(tmp_path / "index", "tinypkg", number)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))


def model(folder: Path, number: str) -> Path:
    """Write a script that answers the version of `tinypkg` that it imports."""
    script(folder, SCRIPT)
    (folder / "code" / "requirements.txt").write_text(f"tinypkg=={number}\n")
    return folder


def answer(loading: GuestLoading, folder: Path) -> bytes:
    predictor = loading.load(loading.plan_load(folder, allow_code=True), MODEL_ID)
    try:
        return predictor.predict(Payload(b"", "text/plain")).body
    finally:
        predictor.close()


def test_what_is_missing_is_a_warning_and_the_reason_of_a_failed_load(
    tmp_path: Path, open_loading: Open
) -> None:
    loading = open_loading(install=False)
    unmet = (
        "code/requirements.txt requires what this server does not have (tinypkg==1.0: not "
        "installed): start the server with --install, or install it for the server"
    )

    plan = loading.plan_load(model(tmp_path / "model", "1.0"), allow_code=True)

    assert plan.warnings == (unmet,)
    with pytest.raises(ModelLoadError, match="No module named 'tinypkg'") as caught:
        loading.load(plan, MODEL_ID)
    assert caught.value.message.endswith(unmet)


def test_model_whose_requirements_are_met_runs_on_the_packages_of_the_server(
    tmp_path: Path, open_loading: Open
) -> None:
    folder = model(tmp_path / "model", "1.0")
    (folder / "code" / "requirements.txt").write_text("orjson\n")

    plan = open_loading(install=True).plan_load(folder, allow_code=True)

    assert plan.requirements is None
    assert not (tmp_path / "cache").exists()


@pytest.mark.long
@pytest.mark.usefixtures("index")
def test_models_run_side_by_side_on_the_versions_that_they_require(
    tmp_path: Path, open_loading: Open
) -> None:
    loading = open_loading(install=True)
    folders = [model(tmp_path / number, number) for number in ("1.0", "2.0")]

    assert [answer(loading, folder) for folder in folders * 2] == [b"1.0", b"2.0"] * 2
    assert answer(open_loading(install=False), folders[0]) == b"1.0"


@pytest.mark.long
@pytest.mark.usefixtures("index")
def test_environment_is_removed_only_when_no_model_uses_it(
    tmp_path: Path, open_loading: Open
) -> None:
    first, second = (model(tmp_path / number, number) for number in ("1.0", "2.0"))
    loading = open_loading(install=True)
    predictor = loading.load(loading.plan_load(first, allow_code=True), MODEL_ID)
    [home] = (path for path in (tmp_path / "cache" / "environments").iterdir() if path.is_dir())
    size_bytes = sum(path.lstat().st_blocks * 512 for path in home.rglob("*") if path.is_file())
    narrow = open_loading(install=True, limit_bytes=3 * size_bytes // 2)

    with pytest.raises(ModelLoadError, match="all together may take"):
        answer(narrow, second)
    assert predictor.predict(Payload(b"", "text/plain")).body == b"1.0"
    predictor.close()
    assert answer(narrow, second) == b"2.0"
    assert not home.exists()


@pytest.mark.usefixtures("index")
def test_installation_that_fails_is_the_error_of_the_plan_before_memory_is_reserved(
    tmp_path: Path, open_loading: Open
) -> None:
    folder = model(tmp_path / "model", "3.0")

    with pytest.raises(ModelLoadError, match=r"No matching distribution found for tinypkg==3\.0"):
        open_loading(install=True).plan_load(folder, allow_code=True)
