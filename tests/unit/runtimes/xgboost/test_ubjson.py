import json
import struct

import numpy as np
import pytest
import xgboost

from modelyard.runtimes.xgboost import ubjson
from modelyard.runtimes.xgboost.ubjson import UbjsonError
from tests.models import xgboost_models

DOCUMENT = {
    "a": {"b": ["x", -1, 0.5], "c": {}},
    "floats": np.array([1, 2], np.float32),
    "integers": np.array([-1, 2], np.int32),
    "bytes": np.array([1], np.uint8),
    "last": [],
}


def length(number):
    return b"L" + struct.pack(">q", number)


@pytest.mark.parametrize("name", DOCUMENT)
def test_member_is_what_was_encoded(name):
    assert ubjson.member(ubjson.encode(DOCUMENT), name) == ubjson.encode(DOCUMENT[name])


@pytest.mark.parametrize("name", ["learner", "version"])
def test_members_of_what_xgboost_writes_are_found(name):
    booster = xgboost_models.trained_booster(objective="multi:softprob", num_class=3)
    whole = bytes(booster.save_raw("ubj"))

    found = ubjson.member(whole, name)

    assert ubjson.encode({})[:1] + b"L" + struct.pack(">q", len(name)) + name.encode() + found in (
        whole[: len(found) + 10 + len(name)],
        b"{" + whole[-len(found) - 10 - len(name) : -1],
    )


def test_xgboost_reads_what_is_encoded():
    booster = xgboost_models.constant_booster(3.0)
    document = json.loads(bytes(booster.save_raw("json")))
    del document["learner"]["gradient_booster"]["model"]["cats"]

    again = xgboost.Booster()
    again.load_model(bytearray(ubjson.encode(document)))

    assert again.predict(xgboost.DMatrix(np.zeros((1, 6)))).tolist() == [3.0]


def test_each_number_and_constant_is_read():
    values = {
        b"i\x80": -128,
        b"U\xff": 255,
        b"I\x80\0": -32768,
        b"l\xff\xff\xff\xff": -1,
        b"L" + struct.pack(">q", 1 << 40): 1 << 40,
        b"d" + struct.pack(">f", 0.5): 0.5,
        b"D" + struct.pack(">d", 1e300): 1e300,
        b"T": True,
        b"F": False,
        b"Z": None,
    }

    for content, value in values.items():
        assert ubjson.decode(b"[#" + length(2) + content * 2) == [value, value]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "does not begin with an object"),
        (b"[", "does not begin with an object"),
        (b"{}", "has no member 'x'"),
        (b"{", "ends after 1 bytes"),
        (b"{y", "a text without a length"),
        (b"{" + length(1) + b"y[$d#" + length(-1) + b"}", "negative length"),
        (b"{" + length(1) + b"y[$", "ends after"),
        (b"{" + length(1) + b"yq", "unknown type 'q'"),
        (b"{" + length(5) + b"y", "ends after"),
        (b"{" + length(-5) + b"y", "negative length"),
        (b"{" + length(1) + b"y[1]}", "an array without a count"),
        (b"{" + length(1) + b"y[$d#" + length(2**60) + b"}", "ends after"),
        (b"{" + length(1) + b"y[$q#" + length(1) + b"}", "unknown type 'q' of an array"),
        (b"{" + length(1) + b"y[#" + length(2**60) + b"}", "unknown type"),
        (b"{" + length(1) + b"y" + (b"[#" + length(1)) * 5000, "nested more than 64 levels"),
        (b"{" + length(1) + b"y" + (b"{" + length(1) + b"z") * 5000, "nested more than 64 levels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_content_is_refused(content, problem):
    with pytest.raises(UbjsonError, match=problem):
        ubjson.member(content, "x")
