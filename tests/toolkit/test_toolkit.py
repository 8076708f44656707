"""Scripts without `input_fn` and `output_fn` read and write as SageMaker's toolkit does.

`make toolkit` installs the package `sagemaker-inference`, whose code is asked the same. The code
of the XGBoost and scikit-learn containers is in no package index.
"""

import importlib
import io
import json
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from modelyard.domain.errors import ModelyardError
from modelyard.runtimes.codecs.media_types import JSON, NPY
from modelyard.runtimes.scripts import defaults
from tests.toolkit import package, requests
from tests.toolkit.table import Compared, is_in_docs

REFUSED = "refused"

# What docs/sagemaker.md says under "Content types", by kind of body or prediction.
READ_OTHERWISE = {
    "CSV of integers with an empty cell",
    "CSV with a text cell",
    "CSV with a header",
    "CSV with an empty line",
    "CSV with quotes",
    "CSV with semicolons",
    "JSON with null",
    "npy with a pickle",
    "empty CSV",
}
WRITTEN_OTHERWISE = {"number", "NumPy number", "with NaN", "dict"}


@pytest.fixture
def toolkit() -> Iterator[Any]:
    """The toolkit's own default functions."""
    if not package.is_installed():
        pytest.skip("make toolkit installs the packages")
    with package.importable():
        yield handler()


def handler() -> Any:
    """Return the toolkit's own default functions; its package has to be importable."""
    module = importlib.import_module("sagemaker_inference.default_inference_handler")
    return module.DefaultInferenceHandler()


def theirs_read(toolkit: Any, body: bytes, content_type: str) -> Any:
    try:
        content = body if content_type == NPY else body.decode()  # as its model server does
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return plain(toolkit.default_input_fn(content, content_type))
    except Exception:
        return REFUSED


def ours_read(body: bytes, content_type: str) -> Any:
    try:
        return plain(defaults.input_fn(body, content_type, model=None))
    except ModelyardError:
        return REFUSED


def plain(array: Any) -> Any:
    """Return the shape and the values of an array as text: 1 and 1.0 are equal, and NaN is NaN."""
    values = np.asarray(array)
    if values.dtype.kind in "biuf":
        values = values.astype(np.float64)
    return values.shape, repr(values.tolist())


def theirs_written(toolkit: Any, prediction: Any, accept: str) -> Any:
    try:
        return meant(*toolkit.default_output_fn(prediction, accept))
    except Exception:
        return REFUSED


def ours_written(prediction: Any, accept: str) -> Any:
    try:
        return meant(*defaults.output_fn(prediction, accept))
    except ModelyardError:
        return REFUSED


def meant(body: bytes | str, content_type: str) -> Any:
    """Return the content type and what a client reads from a body."""
    content = body.encode() if isinstance(body, str) else body
    if content_type == NPY:
        return content_type, plain(np.load(io.BytesIO(content), allow_pickle=True))
    text = content.decode()
    return content_type, repr(json.loads(text)) if content_type == JSON else text.splitlines()


def reading(toolkit: Any) -> Compared:
    """Compare how bodies are read."""
    alike, different = Counter[str](), Counter[str]()
    for kind, body, content_type in requests.bodies():
        is_equal = theirs_read(toolkit, body, content_type) == ours_read(body, content_type)
        (alike if is_equal else different)[kind] += 1
    return Compared("the toolkit's default `input_fn`", alike, different)


def writing(toolkit: Any) -> Compared:
    """Compare how predictions are written."""
    alike, different = Counter[str](), Counter[str]()
    for kind, value, accept in requests.predictions():
        is_equal = theirs_written(toolkit, value, accept) == ours_written(value, accept)
        (alike if is_equal else different)[kind] += 1
    return Compared("the toolkit's default `output_fn`", alike, different)


@pytest.mark.long
def test_bodies_are_read_as_the_toolkit_reads_them(toolkit: Any) -> None:
    found = reading(toolkit)

    assert set(found.different) == READ_OTHERWISE
    assert is_in_docs(found)


@pytest.mark.long
def test_predictions_are_written_as_the_toolkit_writes_them(toolkit: Any) -> None:
    found = writing(toolkit)

    assert set(found.different) == WRITTEN_OTHERWISE
    assert is_in_docs(found)
