import base64
import json
import math
import pickle
import struct
import zlib

import numpy as np
import pytest
import xgboost

from modelyard.domain.errors import ArtifactInvalidError, CodeNotAllowedError, ModelLoadError
from modelyard.domain.values import Payload
from modelyard.runtimes import registry
from modelyard.runtimes.model_format import Format, edges
from modelyard.runtimes.xgboost import model_content
from tests.models import legacy_xgboost as legacy
from tests.models import xgboost_models
from tests.models.legacy_xgboost import Leaf, Split

# Made by the versions in question (zlib, base64): three rounds of depth 2, `binary:logistic` with
# the base score 0.3 on 60 rows of 3 columns, and what they predict for ROWS.
PICKLE_OF_0_90 = (
    "eNprYJl6go0BDHp4KtKT8vOLS/SS84tSp/SwO4E4qUVTJk/RbJxSO0WjhzctNbGktCg1Pi8xN7V4SixQiCnNYAqQMAQR"
    "RlNSEUpKKguASvx62DIS81JygMZxJJVm5pRk5hVP6eFMqixJTSwqSqwEmu3ECbS/+UXEfmaGgQf8UDopMy+xqNIqJz89"
    "s7gkMxkaQgzpSSVFqakghzICMbqDGRkGBwC5gx2JPxgC9j8QgNzFBOE2cGi9tAPRILexQNzckLWE3R4kyQrEbFCx9BgV"
    "WxD9HwpA8k9a1+5jhJoJE9MO3G3HhKbuqF8OSAxFXfm7GHuWuf8cZ830dLS22QO27+ucbw6x/bMcjq77tw/svucsDjcW"
    "/3CollV3gLqXoe11oYPdrAn7Yf5JT2uz/ykxxx7G/6axx97vjQucP2vmSQdeGQuHkRAfJ/hmYsRHretkjPiQkDHHiI/j"
    "FWz2D63DHVX/hjv+nlsDtu/w6dUOzf96HCZcOgGOj4bbpXaPawUdi8Iu2MPiI6XYz2GRRD08PpyEp9ufLy6Fh7/Hv9P2"
    "mdMl4HzTP+8dFsg9sB9O8QGSf3LHxB49Pjpnd2LEBx9zPkZ8HDPWwYiPIsMndivKvzvoNno6Fm3yBNvX+6LEwX9jjcPz"
    "rYsh8aEgb38zhMtRTmExPD6yC3Qd+iNS4fFxvHGevZmuOzz89+4ydqhq4IfzQ87scjDR3GePHg5TWqcEAaueJGjV08MG"
    "KXKn9PAlpRaXxGcCBRNLMvPzpngz9QiAhfJA8vE5mbmZJVO8mUuT9ADDukyd"
)
BINARY_OF_1_5_2 = (
    "eNpLysxLmzVzph0zAwQwItGsDPQF/FA6KTMvsajSKic/PbO4JDOZDSqcnlRSlJrKjOTIwQhAbmNH4jMPAjf9BwKQu5gg"
    "3AYOrZd2IBrkNhaImxuylrDbM0AjnQ0qlh6jYgui/0MBSP5J69p9jFAzYWLagbvtmNDUHfXLAYmhqCt/F2PPMvef46yZ"
    "no7WNnvA9n2d880htn+Ww9F1//aBXfecxeHG4h8O1bLqDjD3t70udLCbNWE/jJ+e1mb/U2KOPYz/TWOPvd8bFzh/1syT"
    "DrwyFg4jIT5O8M3EiI9a18kY8SEhY44RH8cr2OwfWoc7qv4Nd/w9twZs3+HTqx2a//U4TLh0AhwfDbdL7R7XCjoWhV2A"
    "h29KsZ/DIol6eHw4CU+3P19cCpf3+HfaPnO6BJxv+ue9wwK5B/bDKT5A8k/umNijx0fn7E6M+OBjzseIj2PGOhjxUWT4"
    "xG5F+XcH3UZPx6JNnmD7el+UOPhvrHF4vnUxJD4U5O1vhnA5yikshodvdoGuQ39EKjw+jjfOszfTdYfL791l7FDVwA/n"
    "h5zZ5WCiuc8ePRxgccEHK4hTi0viM0tSixJLMvPzYKWukQCydB6oUI7PyczNLIEpMOaEMvKTslKTSzLLUl2gAtVKeYm5"
    "qUpWSmhFvJKOUlFqenxOfnFxfEFiUWKuklW1UnFyYk5qfEF+cXx5amZ6RglQm6FSbS0AP8wqFg=="
)
ROWS = b"0.1,0.2,0.3\n0.9,,0.1\n0.6,0.7,0.8"
PREDICTED = [0.14755401015281677, 0.501994788646698, 0.6702160835266113]

STUMP = Split(0, 0.5, Leaf(1.0), Leaf(2.0))


@pytest.mark.parametrize("made", [PICKLE_OF_0_90, BINARY_OF_1_5_2], ids=["0.90", "1.5.2"])
@pytest.mark.parametrize("is_staged", [True, False])
def test_models_that_old_versions_made_predict_what_these_did(tmp_path, made, is_staged):
    (tmp_path / "xgboost-model").write_bytes(zlib.decompress(base64.b64decode(made)))
    if is_staged:
        registry.prepare(tmp_path)

    predictor = registry.load(registry.plan_load(tmp_path, allow_code=False))

    assert json.loads(predictor.predict(Payload(ROWS, "text/csv")).body) == PREDICTED


class Pickled:
    """Is pickled as a booster with this content."""

    def __init__(self, content, **state):
        self._state = {"handle": bytearray(content), **state}

    def __reduce__(self):
        return xgboost.Booster, (), self._state


def read(tmp_path, content, kind=None, **options):
    path = tmp_path / "old"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return model_content.read(path.read_bytes(), path.name, kind or edges(path).format, **options)


def booster_of(content):
    booster = xgboost.Booster()
    with xgboost.config_context(verbosity=0):
        booster.load_model(bytearray(content))
    return booster


def margin(content):
    return booster_of(content).predict(xgboost.DMatrix(np.zeros((1, 3))), output_margin=True)


def snapshot(model):
    return b"CONFIG-offset:" + struct.pack("<q", len(model)) + model + b'{"learner":{}}'


@pytest.mark.parametrize("wrap", [bytes, snapshot], ids=["0.90", "1.0 to 1.2"])
def test_binary_model_in_a_pickle_keeps_its_names(tmp_path, wrap):
    model = wrap(legacy.model(STUMP, prefix=b""))

    found = booster_of(read(tmp_path, Pickled(model, feature_names=["a", "b", "c"])))

    assert found.feature_names == ["a", "b", "c"]
    assert found.predict(xgboost.DMatrix([[0.0, 0, 0]]), validate_features=False) == [1.5]


@pytest.mark.parametrize(
    "content",
    [
        b"CONFIG-offset:",
        b"CONFIG-offset:" + struct.pack("<q", 2**40) + b"x",
        b"CONFIG-offset:" + struct.pack("<q", -1) + b"x",
        b'{"Model":',
        b'{"Config":{}}',
        b"{L",
        b"[" * 10**5,
    ],
)
def test_damaged_content_of_a_pickle_is_refused(tmp_path, content):
    with pytest.raises(ArtifactInvalidError, match=r"^old is "):
        read(tmp_path, Pickled(content))


def in_json(**changes):
    """Return a linear model as XGBoost 1.3 pickles it or 1.0 to 1.5 save it, in JSON."""
    document = json.loads(bytes(xgboost_models.linear_booster(0.0, 0.0, 3).save_raw("json")))
    learner = document["learner"]
    learner["learner_model_param"] = {"base_score": "0.5", "num_class": "0", "num_feature": "3"}
    learner["gradient_booster"]["model"].pop("boosted_rounds", None)
    for unknown in ("feature_names", "feature_types"):
        del learner[unknown]
    for member, value in changes.items():
        document[member] = value
    return document


def dumped(document):
    return json.dumps(document, separators=(",", ":")).encode()


def with_objective(name, base_score, version):
    document = in_json(version=version)
    document["learner"]["objective"]["name"] = name
    document["learner"]["learner_model_param"]["base_score"] = base_score
    return dumped(document)


def test_json_model_in_a_pickle_keeps_its_names(tmp_path):
    content = dumped({"Config": {}, "Model": in_json(version=[1, 3, 3])})

    found = booster_of(read(tmp_path, Pickled(content, feature_names=["a", "b", "c"])))

    assert found.feature_names == ["a", "b", "c"]


def test_pickle_of_a_newer_version_is_refused_with_both_versions(tmp_path):
    content = dumped({"Config": {}, "Model": in_json(version=[99, 0, 0])})

    with pytest.raises(ModelLoadError, match=r"by XGBoost 99\.0, newer than the installed \d"):
        read(tmp_path, Pickled(content))


def test_pickle_with_code_is_refused_with_the_remedy(tmp_path):
    path = xgboost_models.pickled_with_code(tmp_path, 1.0)

    with pytest.raises(CodeNotAllowedError, match=r"names math\.sqrt.*allow_code: true"):
        model_content.read(path.read_bytes(), path.name, Format.PICKLED_BOOSTER)


@pytest.mark.parametrize(
    ("objective", "version", "base_score", "expected"),
    [
        ("reg:logistic", [1, 3, 3], "7.5E-1", math.log(3)),
        ("reg:logistic", [1, 0, 2], "0.750000", math.log(3)),
        ("binary:logitraw", [1, 2, 1], "7.5E-1", math.log(3)),
        ("binary:logitraw", [1, 3, 3], "7.5E-1", 0.75),
        ("count:poisson", [1, 5, 2], "2.5E-1", math.log(0.25)),
    ],
)
def test_json_of_old_versions_starts_from_its_base_score(
    tmp_path, objective, version, base_score, expected
):
    document = json.loads(with_objective(objective, base_score, version))
    document["learner"]["objective"]["poisson_regression_param"] = {"max_delta_step": "0.7"}

    found = margin(read(tmp_path, dumped(document)))

    assert found.tolist() == [pytest.approx(expected, rel=3e-7)]


def test_json_since_1_7_is_left_as_it_is(tmp_path):
    content = with_objective("reg:logistic", "7.5E-1", [1, 7, 6])

    assert read(tmp_path, content) == content
