import pytest

from modelyard.domain.errors import ArtifactInvalidError, ModelLoadError
from modelyard.runtimes.model_format import edges
from modelyard.runtimes.xgboost import version_gate
from tests.models import legacy_xgboost, xgboost_models
from tests.models.legacy_xgboost import Leaf


def check(path):
    version_gate.check(path, edges(path))


@pytest.mark.parametrize("name", ["xgboost-model", "model.bst", "model.model", "model.ubj"])
def test_ubj_passes_under_every_fitting_name(tmp_path, name):
    check(xgboost_models.ubj(tmp_path, 1.0, name))


@pytest.mark.parametrize("name", ["xgboost-model", "model.bst", "model.json"])
def test_json_passes_under_every_fitting_name(tmp_path, name):
    check(xgboost_models.json(tmp_path, 1.0, name))


@pytest.mark.parametrize("prefix", [b"binf", b""])
def test_legacy_binary_passes(tmp_path, prefix):
    path = tmp_path / "xgboost-model"
    path.write_bytes(legacy_xgboost.model(Leaf(1.0), prefix=prefix))

    check(path)


def test_newer_writer_is_refused_with_both_versions(tmp_path):
    installed = "{}.{}".format(*version_gate.installed_version())

    with pytest.raises(ModelLoadError, match=rf"by XGBoost 99.0, newer than .* {installed}"):
        check(xgboost_models.from_the_future(tmp_path))


def test_json_named_ubj_is_refused_with_the_right_name(tmp_path):
    path = xgboost_models.json(tmp_path, 1.0, "model.ubj")

    with pytest.raises(ArtifactInvalidError, match=r"XGBoost JSON: rename it to model\.json"):
        check(path)


def test_ubj_named_json_is_refused_with_the_right_name(tmp_path):
    path = xgboost_models.ubj(tmp_path, 1.0, "model.json")

    with pytest.raises(ArtifactInvalidError, match=r"XGBoost UBJSON: rename it to model\.ubj"):
        check(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\0" * 40, "is not an XGBoost model", id="zeros"),
        pytest.param(b"{L", "is not an XGBoost model", id="two bytes"),
        pytest.param(b'{"learner":{}', "is incomplete", id="truncated"),
    ],
)
def test_damaged_file_is_refused_before_the_native_reader_sees_it(tmp_path, content, message):
    path = tmp_path / "xgboost-model"
    path.write_bytes(content)

    with pytest.raises(ModelLoadError, match=message):
        check(path)


def test_installed_version_is_the_importable_one():
    import xgboost

    assert xgboost.__version__.startswith("{}.{}.".format(*version_gate.installed_version()))


@pytest.mark.parametrize("level", [b"[", b'{"a":', b'["]",', b'{"\\"]}":'])
def test_json_that_would_overflow_the_native_readers_stack_is_refused(tmp_path, level):
    path = tmp_path / "model.json"
    path.write_bytes(b'{"learner":' + level * 200_000 + b',"version":[3,2,0]}')

    with pytest.raises(ModelLoadError, match="nested too deeply"):
        check(path)


def test_brackets_in_texts_are_no_nesting(tmp_path):
    path = tmp_path / "model.json"
    path.write_bytes(b'{"learner":{"a":"' + b"[" * 5_000 + b'"},"version":[3,2,0]}')

    check(path)
