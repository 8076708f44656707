import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.runtimes.model_format import FileEdges, Format, edges
from tests.models import onnx_models, sklearn_models, xgboost_models

STATED = b'"version":[3,1,2]'
UBJ_KEY = b"L\0\0\0\0\0\0\0\x07version[#L\0\0\0\0\0\0\0\x03"


def of(content: bytes) -> FileEdges:
    return FileEdges(content[:256], content[-256:])


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        pytest.param(lambda to: xgboost_models.json(to, 1), Format.XGBOOST_JSON, id="json"),
        pytest.param(lambda to: xgboost_models.ubj(to, 1), Format.XGBOOST_UBJ, id="ubj"),
        pytest.param(
            lambda to: xgboost_models.pickled(to, 1), Format.PICKLED_BOOSTER, id="booster"
        ),
        pytest.param(xgboost_models.legacy_binary, Format.XGBOOST_LEGACY, id="legacy"),
        pytest.param(lambda to: sklearn_models.linear_joblib(to, 1, 0), Format.PICKLE, id="pickle"),
        pytest.param(lambda to: onnx_models.linear_onnx(to, 1, 0), Format.ONNX, id="onnx"),
        pytest.param(
            lambda to: sklearn_models.linear_skops(to, 1, 0), Format.UNKNOWN, id="skops is a zip"
        ),
    ],
)
def test_format_is_told_from_real_files(tmp_path, build, expected):
    assert edges(build(tmp_path)).format is expected


@pytest.mark.parametrize("build", [xgboost_models.json, xgboost_models.ubj])
def test_version_is_what_the_installed_xgboost_writes(tmp_path, build):
    import xgboost

    major, minor = edges(build(tmp_path, 1.0)).xgboost_version()

    assert xgboost.__version__.startswith(f"{major}.{minor}.")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"learner":{},' + STATED + b"}", id="at the end"),
        pytest.param(b"{" + STATED + b',"learner":{' + b" " * 300 + b"}}", id="at the start"),
        pytest.param(b'{ "learner": { },\n "version" : [ 3, 1, 2 ] }\n', id="spaced"),
    ],
)
def test_version_of_json_is_read_where_writers_put_it(content):
    assert of(content).format is Format.XGBOOST_JSON
    assert of(content).xgboost_version() == (3, 1)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"learner":{' + STATED + b'},"x":1}', id="nested"),
        pytest.param(b'{"learner":{},' + STATED, id="truncated"),
        pytest.param(b'{"learner":{},"version":[3,1]}', id="short"),
        pytest.param(b'{"learner":{},"version":["3",1,2]}', id="text"),
    ],
)
def test_version_elsewhere_does_not_count(content):
    assert of(content).xgboost_version() is None


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        pytest.param(b"i\x03i\x01i\x02", (3, 1), id="int8"),
        pytest.param(b"U\x03U\xc8U\x02", (3, 200), id="uint8"),
        pytest.param(b"I\0\x03l\0\0\x01\0L\0\0\0\0\0\0\0\x02", (3, 256), id="wider"),
    ],
)
def test_version_of_ubj_is_read_in_every_width(numbers, expected):
    content = b"{L\0\0\0\0\0\0\0\x07learner{}" + UBJ_KEY + numbers + b"}"

    assert of(content).format is Format.XGBOOST_UBJ
    assert of(content).xgboost_version() == expected


def test_every_truncation_of_a_model_loses_its_version(tmp_path):
    content = xgboost_models.ubj(tmp_path, 1.0).read_bytes()
    shorter = [content[:length] for length in range(16, len(content), 7)]

    assert {of(part).xgboost_version() for part in shorter} == {None}


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_hostile_bytes_never_surprise(head, tail):
    file = FileEdges(head, tail)

    assert file.format in Format
    assert file.xgboost_version() is None


@given(st.sampled_from([b'{"learner":', b"{L\0\0\0\0\0\0\0\x07learner"]), st.binary(max_size=240))
def test_hostile_ends_never_surprise(head, tail):
    version = FileEdges(head, UBJ_KEY + tail + b"}").xgboost_version()

    assert version is None or len(version) == 2
