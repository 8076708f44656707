import subprocess
import sys
from dataclasses import replace

import orjson
import pytest

from modelyard.domain.errors import (
    ArtifactInvalidError,
    CodeNotAllowedError,
    ConfigurationError,
    ModelLoadError,
)
from modelyard.domain.values import Payload
from modelyard.runtimes import registry
from modelyard.runtimes.model_format import Format, edges
from tests.models import lightgbm_models, onnx_models, script_models, sklearn_models, xgboost_models

ROW = Payload(b"1,2,3,4,5,6", "text/csv")

PICKLES = [
    pytest.param(lambda to: sklearn_models.linear_joblib(to, 1, 0), id="joblib"),
    pytest.param(lambda to: sklearn_models.linear_joblib(to, 1, 0, compress=3), id="compressed"),
    pytest.param(lambda to: sklearn_models.linear_joblib(to, 1, 0, "model"), id="no extension"),
]


@pytest.mark.parametrize("build", PICKLES)
def test_pickle_needs_allow_code(tmp_path, build):
    build(tmp_path)

    with pytest.raises(CodeNotAllowedError, match=r"--allow-code or set allow_code: true"):
        registry.plan_load(tmp_path, allow_code=False)


@pytest.mark.parametrize("build", PICKLES)
def test_pickle_loads_with_allow_code(tmp_path, build):
    build(tmp_path)

    registry.load(registry.plan_load(tmp_path, allow_code=True)).close()


@pytest.mark.parametrize("name", ["xgboost-model", "model.bst", "model.pkl", "model"])
@pytest.mark.parametrize("allow_code", [True, False])
def test_pickled_booster_needs_no_code(tmp_path, name, allow_code):
    xgboost_models.pickled(tmp_path, 2.5, name)

    plan = registry.plan_load(tmp_path, allow_code=allow_code)

    assert registry.load(plan).predict(ROW).body == b"[2.5]"


def test_pickled_booster_with_code_needs_allow_code(tmp_path):
    xgboost_models.pickled_with_code(tmp_path, 2.5)

    with pytest.raises(CodeNotAllowedError, match=r"names math\.sqrt.*--allow-code or set allow"):
        registry.load(registry.plan_load(tmp_path, allow_code=False))

    predictor = registry.load(registry.plan_load(tmp_path, allow_code=True))
    assert predictor.predict(ROW).body == b"[2.5]"


def test_empty_saved_model_is_refused_before_it_is_loaded(tmp_path):
    (tmp_path / "saved_model.pb").touch()

    with pytest.raises(ArtifactInvalidError, match=r"saved_model\.pb is empty"):
        registry.plan_load(tmp_path, allow_code=True)


def test_script_needs_allow_code(tmp_path):
    script_models.linear_script(tmp_path, 1, 0)

    with pytest.raises(CodeNotAllowedError, match=r"code/inference\.py runs code"):
        registry.plan_load(tmp_path, allow_code=False)


def test_script_decides_whatever_lies_beside_it(tmp_path):
    onnx_models.linear_onnx(tmp_path, 1, 0, name="a.onnx")
    onnx_models.linear_onnx(tmp_path, 1, 0, name="b.onnx")
    script_models.linear_script(tmp_path, 1, 0)

    plan = registry.plan_load(tmp_path, allow_code=True)

    assert (plan.runtime, plan.model_file) == ("script", tmp_path / "code/inference.py")


def test_skops_with_foreign_types_needs_allow_code(tmp_path):
    sklearn_models.untrusted_skops(tmp_path)
    plan = registry.plan_load(tmp_path, allow_code=False)

    with pytest.raises(CodeNotAllowedError, match=r"joblib\.hashing\.hash"):
        registry.load(plan)

    assert registry.load_native(replace(plan, allow_code=True)) is not None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("model.onnx", b"", id="empty onnx"),
        pytest.param("model.onnx", b"\x08\x08\x12 nonsense", id="bad onnx"),
        pytest.param("model.pkl", b"\x80\x04nonsense", id="bad pickle"),
        pytest.param("model.joblib", b"", id="empty joblib"),
        pytest.param("xgboost-model", b"\x80\x04K\x07.", id="pickle of a number"),
        pytest.param("model.json", b'{"learner":{},"version":[1,7,6]}', id="hollow xgboost"),
    ],
)
def test_file_the_framework_refuses_is_a_load_error_without_paths(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    plan = registry.plan_load(tmp_path, allow_code=True)

    with pytest.raises(ModelLoadError) as refused:
        registry.load(plan)

    assert "\n" not in refused.value.message
    assert str(tmp_path) not in refused.value.message
    assert "site-packages" not in refused.value.message


def test_truncated_onnx_is_a_load_error(tmp_path):
    path = onnx_models.linear_onnx(tmp_path, 1, 0)
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(ModelLoadError, match=r"onnx model cannot be loaded: .*model\.onnx"):
        registry.load(registry.plan_load(tmp_path, allow_code=False))


def test_estimator_that_cannot_predict_is_a_load_error(tmp_path):
    import joblib

    joblib.dump({"weights": 1}, tmp_path / "model.joblib")

    with pytest.raises(ModelLoadError, match="a dict is no model"):
        registry.load(registry.plan_load(tmp_path, allow_code=True))


def test_model_that_does_not_fit_is_a_load_error_with_the_containers_status(tmp_path):
    script_models.script(tmp_path, "def model_fn(where):\n    raise MemoryError")

    with pytest.raises(ModelLoadError) as refused:
        registry.load(registry.plan_load(tmp_path, allow_code=True))

    assert refused.value.original_status == 507


def test_missing_framework_names_the_extra(tmp_path, monkeypatch):
    onnx_models.linear_onnx(tmp_path, 1, 0)
    plan = registry.plan_load(tmp_path, allow_code=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "modelyard.runtimes.onnx", raising=False)

    with pytest.raises(ConfigurationError, match=r'pip install "modelyard\[onnx\]"'):
        registry.load(plan)


def test_planning_imports_no_framework(tmp_path):
    xgboost_models.ubj(tmp_path, 1.0)
    program = (
        "import sys, pathlib; from modelyard.runtimes import registry;"
        "registry.plan_load(pathlib.Path(sys.argv[1]), allow_code=False);"
        "print(sorted({'numpy', 'scipy', 'xgboost', 'sklearn', 'onnxruntime'} & set(sys.modules)))"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert ran.stdout == "[]\n"


def test_onnx_runtime_is_told_not_to_report_usage(tmp_path):
    onnx_models.linear_onnx(tmp_path, 1, 0)
    program = (
        "import os, sys, pathlib; from modelyard.runtimes import registry;"
        "registry.load(registry.plan_load(pathlib.Path(sys.argv[1]), allow_code=False));"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert (ran.stdout, ran.stderr) == ("1\n", "")


@pytest.mark.parametrize(
    ("name", "rewritten"),
    [("model.json", "model.ubj"), ("xgboost-model", "xgboost-model"), ("m.bst", "m.bst")],
)
def test_a_booster_in_json_is_prepared_as_ubjson(tmp_path, name, rewritten):
    xgboost_models.save(xgboost_models.trained_booster(), tmp_path / name, "json")
    row = Payload(b"0.5,-1,2,0,1,7", "text/csv")
    before = registry.load(registry.plan_load(tmp_path, allow_code=False)).predict(row)

    registry.prepare(tmp_path)

    (file,) = tmp_path.iterdir()
    assert (file.name, edges(file).format) == (rewritten, Format.XGBOOST_UBJ)
    after = registry.load(registry.plan_load(tmp_path, allow_code=False)).predict(row)
    assert after == before


@pytest.mark.parametrize(
    ("build", "rewritten"),
    [
        pytest.param(xgboost_models.legacy_binary, "xgboost-model", id="legacy"),
        pytest.param(lambda to: xgboost_models.pickled(to, 1.0), "xgboost-model", id="pickle"),
        pytest.param(lambda to: xgboost_models.pickled(to, 1.0, "m.pkl"), "m.ubj", id="pkl"),
    ],
)
def test_old_artifacts_are_prepared_as_ubjson(tmp_path, build, rewritten):
    build(tmp_path)

    plan = registry.prepare(tmp_path)

    (file,) = tmp_path.iterdir()
    assert (file.name, edges(file).format) == (rewritten, Format.XGBOOST_UBJ)
    found = registry.plan_load(tmp_path, allow_code=False, known=plan)
    assert registry.load(found).predict(ROW).body == b"[1.0]"


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda to: xgboost_models.ubj(to, 1.0), id="UBJSON"),
        pytest.param(lambda to: xgboost_models.pickled_with_code(to, 1.0), id="runs code"),
        pytest.param(lambda to: onnx_models.linear_onnx(to, 1, 0), id="ONNX"),
        pytest.param(lambda to: (to / "model.json").write_text('{"learner": {}}'), id="damaged"),
        pytest.param(
            lambda to: [xgboost_models.json(to, 1.0, f"{n}.json") for n in "ab"], id="two"
        ),
        pytest.param(
            lambda to: [xgboost_models.json(to, 1.0), (to / "model.ubj").mkdir()], id="name taken"
        ),
        pytest.param(
            lambda to: [xgboost_models.json(to, 1.0), script_models.linear_script(to, 1, 0)],
            id="a script's",
        ),
    ],
)
def test_everything_else_is_prepared_as_it_is(tmp_path, build):
    build(tmp_path)
    before = contents(tmp_path)

    registry.prepare(tmp_path)

    assert contents(tmp_path) == before


def test_a_large_booster_is_left_in_json(tmp_path, monkeypatch):
    xgboost_models.json(tmp_path, 1.0)
    before = contents(tmp_path)
    monkeypatch.setattr(registry, "_LARGEST_REWRITTEN_BYTES", 100)

    registry.prepare(tmp_path)

    assert contents(tmp_path) == before


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


BUILDS = [
    pytest.param(lambda to: xgboost_models.ubj(to, 1.0), id="UBJSON"),
    pytest.param(lambda to: xgboost_models.json(to, 1.0), id="JSON"),
    pytest.param(lambda to: xgboost_models.pickled(to, 1.0), id="pickled booster"),
    pytest.param(lambda to: onnx_models.versioned_onnx(to, 1, 0, "3"), id="ONNX"),
    pytest.param(lambda to: sklearn_models.linear_skops(to, 1, 0), id="skops"),
    pytest.param(lambda to: script_models.linear_script(to, 1, 0), id="script"),
]


@pytest.mark.parametrize("build", BUILDS)
def test_a_stored_plan_says_what_the_files_say(tmp_path, build):
    build(tmp_path)

    stored = orjson.loads(orjson.dumps(registry.prepare(tmp_path)))

    planned = registry.plan_load(tmp_path, allow_code=True, known=stored)
    assert replace(planned, findings=None) == registry.plan_load(tmp_path, allow_code=True)


def test_numbers_that_were_checked_are_not_checked_again(tmp_path):
    xgboost_models.ubj(tmp_path, 1.0)
    stored = registry.prepare(tmp_path)

    assert registry.plan_load(tmp_path, allow_code=False, known=stored).findings is not None
    assert registry.plan_load(tmp_path, allow_code=False).findings is None


@pytest.mark.parametrize("build", BUILDS)
def test_a_load_with_a_stored_plan_looks_at_no_file(tmp_path, build):
    build(tmp_path)
    stored = registry.prepare(tmp_path)
    moved = tmp_path / "gone"

    plan = registry.plan_load(moved, allow_code=True, known=stored)

    assert plan.model_dir == moved


def test_a_stored_plan_allows_no_code(tmp_path):
    sklearn_models.linear_joblib(tmp_path, 1, 0)
    stored = registry.prepare(tmp_path)

    with pytest.raises(CodeNotAllowedError, match=r"^model\.joblib runs code"):
        registry.plan_load(tmp_path, allow_code=False, known=stored)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"basis": "2"}, id="another version"),
        pytest.param({"basis": "1, XGBoost (9, 9)"}, id="another XGBoost"),
        pytest.param({"format": "XGBoost YAML"}, id="unknown format"),
        pytest.param({"runtime": "quantum"}, id="unknown runtime"),
        pytest.param({"colour": "blue"}, id="unknown member"),
    ],
)
def test_a_stored_plan_that_cannot_be_trusted_is_made_afresh(tmp_path, changed):
    xgboost_models.ubj(tmp_path, 1.0)
    stored = registry.prepare(tmp_path) | {"memory_bytes": 7}

    trusted = registry.plan_load(tmp_path, allow_code=False, known=stored)
    afresh = registry.plan_load(tmp_path, allow_code=False, known=stored | changed)

    assert trusted.memory_bytes == 7
    assert afresh == registry.plan_load(tmp_path, allow_code=False)


def test_an_artifact_without_a_model_has_no_plan(tmp_path):
    (tmp_path / "notes.txt").write_text("no model")

    assert registry.prepare(tmp_path) is None


@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
def test_keras_file_needs_allow_code(tmp_path, name):
    (tmp_path / name).write_bytes(b"")

    with pytest.raises(CodeNotAllowedError, match=f"{name} runs code"):
        registry.plan_load(tmp_path, allow_code=False)


def xgboost_file(folder):
    return xgboost_models.save(xgboost_models.trained_booster(), folder / "model.ubj")


def lightgbm_file(folder):
    return lightgbm_models.linear_text(folder, 2.0, 1.0)


@pytest.mark.parametrize("build", [xgboost_file, lightgbm_file])
@pytest.mark.parametrize("kept_bytes", [0, 10, -20], ids=["empty", "begun", "not ended"])
def test_a_file_that_changed_after_its_check_is_checked_again(tmp_path, build, kept_bytes):
    path = build(tmp_path)
    plan = registry.plan_load(tmp_path, allow_code=False, known=registry.prepare(tmp_path))
    registry.load(plan).close()

    path.write_bytes(path.read_bytes()[:kept_bytes])

    with pytest.raises(ModelLoadError):  # the library would end this process
        registry.load(plan)
