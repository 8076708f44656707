import collections
import io
import os
import pickle
import struct

import joblib
import numpy as np
import pytest
import xgboost

from modelyard.runtimes.xgboost import pickled_booster
from modelyard.runtimes.xgboost.pickled_booster import UnreadablePickleError
from tests.models import xgboost_models

MODEL = bytearray(range(256)) * 3
PROTOCOLS = [2, 3, 4, 5]


class Assembled:
    """Is pickled as an object of another class, with a state of one's own."""

    def __init__(self, kind, state):
        self._kind = kind
        self._state = state

    def __reduce__(self):
        return self._kind, (), self._state


class Computed:
    """Is pickled as a call."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def booster(**state):
    return Assembled(xgboost.Booster, {"handle": MODEL, **state})


def read(value, protocol=4):
    return pickled_booster.read(pickle.dumps(value, protocol))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_booster_of_the_installed_version_is_read(protocol):
    original = xgboost_models.trained_booster()

    found = read(original, protocol)

    assert found.content == bytes(original.__getstate__()["handle"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_names_are_read(protocol):
    found = read(booster(feature_names=["a", "b"], feature_types=["int", "q"]), protocol)

    assert found == pickled_booster.PickledBooster(bytes(MODEL), ("a", "b"), ("int", "q"))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", [xgboost.XGBRegressor, xgboost.XGBClassifier])
def test_estimator_is_read_as_its_booster(kind, protocol):
    model = kind(n_estimators=2, n_jobs=1).fit(np.eye(6), np.arange(6) % 3)

    found = read(model, protocol)

    assert found.content == bytes(model.get_booster().__getstate__()["handle"])


CLASSES = [
    np.array([0, 1, 2]),
    np.array(["no", "yes"]),
    np.zeros((3, 2), np.float32),
    np.zeros(0),
]


@pytest.mark.parametrize("classes", CLASSES, ids=str)
@pytest.mark.parametrize("alignment", [None, 16])
def test_classifier_that_joblib_wrote_is_read(monkeypatch, classes, alignment):
    wrapper = joblib.numpy_pickle.NumpyArrayWrapper
    monkeypatch.setattr(wrapper.__init__, "__defaults__", (False, alignment))
    state = {"classes_": classes, "_Booster": booster(), "other_": classes[:1]}
    sink = io.BytesIO()
    joblib.dump(Assembled(xgboost.XGBClassifier, state), sink)

    assert pickled_booster.read(sink.getvalue()).content == bytes(MODEL)


def test_array_that_is_longer_than_the_pickle_is_refused():
    wrapper = joblib.numpy_pickle.NumpyArrayWrapper
    described = wrapper(np.ndarray, (2**62, 2**62), "C", np.dtype("i8"))

    with pytest.raises(UnreadablePickleError, match="damaged"):
        read(Assembled(xgboost.XGBClassifier, {"classes_": described}))


def test_array_of_objects_that_joblib_wrote_is_refused():
    sink = io.BytesIO()
    joblib.dump(Assembled(xgboost.XGBClassifier, {"classes_": np.array([{}], object)}), sink)

    with pytest.raises(UnreadablePickleError, match="array of objects"):
        pickled_booster.read(sink.getvalue())


def test_bytes_in_place_of_a_booster_are_the_model():
    assert read(Assembled(xgboost.XGBModel, {"_Booster": MODEL})).content == bytes(MODEL)


def test_estimator_with_a_missing_value_of_its_own_is_refused_with_the_remedy():
    model = Assembled(xgboost.XGBModel, {"_Booster": booster(), "missing": -999})

    with pytest.raises(UnreadablePickleError, match=r"takes -999 for a missing value.*get_booster"):
        read(model)


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_empty_cells_may_be_missing_values(missing):
    model = Assembled(xgboost.XGBModel, {"_Booster": booster(), "missing": missing})

    assert read(model).content == bytes(MODEL)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (7, "holds no booster"),
        ({"handle": MODEL}, "holds no booster"),
        (Assembled(xgboost.XGBModel, {"_Booster": None}), "XGBModel has not been fitted"),
        (Assembled(xgboost.Booster, {"handle": None}), "its booster holds no model"),
        (Assembled(collections.OrderedDict, None), "holds a OrderedDict instead of a booster"),
        (booster(extra=Computed(os.getcwd)), "names posix.getcwd, which boosters lack"),
        (booster(extra=Computed(eval, "1")), "names builtins.eval, which boosters lack"),
        (Computed(print, "x"), "names builtins.print, which boosters lack"),
        (booster(extra=set()), "an instruction EMPTY_SET, which boosters lack"),
        (booster(feature_names=["x" * 2**20] * 20), "feature names have over"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_everything_else_is_refused(value, problem):
    with pytest.raises(UnreadablePickleError, match=problem):
        read(value)


def test_nothing_of_a_pickle_runs(tmp_path):
    content = pickle.dumps(booster(extra=Computed(os.mkdir, str(tmp_path / "made"))))

    with pytest.raises(UnreadablePickleError, match=r"names posix\.mkdir"):
        pickled_booster.read(content)

    assert not list(tmp_path.iterdir())


def nested(count):
    """Return a pickle of tuples within tuples."""
    return b"\x80\x04)" + b"\x85" * count


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x80\x04", id="no end"),
        pytest.param(b"\x80\x04.", id="no value"),
        pytest.param(b"\x80\x04}R.", id="call of nothing"),
        pytest.param(b"\x80\x04t.", id="no mark"),
        pytest.param(b"\x80\x04h\x07.", id="not in the memo"),
        pytest.param(b"\x80\x04B\xff\xff\xff\x7fabc.", id="longer than the file"),
        pytest.param(b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b".", id="no such memory"),
        pytest.param(b"\x80\x04Pid\n.", id="persistent id"),
        pytest.param(b"\x80\x04\x82\x01.", id="extension"),
        pytest.param(b"\x80\x04(ios\nsystem\n.", id="old instance"),
        pytest.param(nested(10_000) + b"\x8c\x01x\x93.", id="nested name"),
        pytest.param(nested(10_000) + b".", id="nested value"),
        pytest.param(b"\x80\x04N" + b"2" * 100 + b".", id="unknown instruction"),
        pytest.param(b"\x80\x04" + b"N" * 1_000_001 + b".", id="too many instructions"),
    ],
)
def test_damaged_or_hostile_pickle_is_refused(content):
    with pytest.raises(UnreadablePickleError):
        pickled_booster.read(content)


def test_enormous_memo_index_takes_no_memory():
    content = b"\x80\x04Nr\xff\xff\xff\xff."

    with pytest.raises(UnreadablePickleError, match="holds no booster"):
        pickled_booster.read(content)


def test_every_truncation_is_refused():
    content = pickle.dumps(booster(feature_names=["a"]), 4)

    for length in range(len(content)):
        with pytest.raises(UnreadablePickleError):
            pickled_booster.read(content[:length])
