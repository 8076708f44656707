"""Answers that are too large are refused before they are made."""

import numpy as np
import pytest

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import answer_size, array_codec
from modelyard.runtimes.codecs.media_types import CSV, JSON, JSON_LINES, NPY


@pytest.mark.parametrize("media_type", [JSON, CSV, JSON_LINES, NPY])
def test_array_that_cannot_fit_is_refused_before_it_is_listed(media_type: str) -> None:
    # Without strides, a hundred million numbers take the memory of one.
    array = np.broadcast_to(np.float32(0.5), (1_000_000, 100))

    with pytest.raises(InputRejectedError, match="100000000 values"):
        array_codec.encode(array, media_type)


@pytest.mark.parametrize(
    ("dtype", "text"), [(np.float64, b"0.0,"), (np.int64, b"0,"), (np.bool_, b"true,")]
)
def test_no_array_whose_text_would_fit_is_refused(monkeypatch, dtype, text) -> None:
    array = np.ones(10, dtype) if dtype is np.bool_ else np.zeros(10, dtype)
    monkeypatch.setattr(answer_size, "MAX_ANSWER_BYTES", 10 * len(text) + 1)

    assert array_codec.encode(array, JSON) == b"[" + (text * 10)[:-1] + b"]"


def test_scores_are_counted_before_they_are_computed() -> None:
    answer_size.refuse_scores(1_000_000, 67)

    with pytest.raises(InputRejectedError, match="100 scores for each of 1000000 rows"):
        answer_size.refuse_scores(1_000_000, 100)
