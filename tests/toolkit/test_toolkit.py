"""Scripts without `input_fn` and `output_fn` read and write as SageMaker's toolkit does.

`make toolkit` installs the package `sagemaker-inference`, whose code is asked the same. The code
of the XGBoost and scikit-learn containers is in no package index.
"""

import importlib
import io
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.domain.errors import ModelyardError
from modelyard.runtimes.codecs.media_types import JSON, NPY
from modelyard.runtimes.scripts import defaults
from tests.toolkit import requests

FOLDER = Path("build/toolkit")
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
def toolkit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The toolkit's own default functions."""
    if not (FOLDER / "sagemaker_inference").is_dir():
        pytest.skip("make toolkit installs the package")
    monkeypatch.syspath_prepend(str(FOLDER.resolve()))
    for name in [name for name in sys.modules if name.startswith("sagemaker_inference")]:
        monkeypatch.delitem(sys.modules, name)  # Modelyard's own module of this name
    yield importlib.import_module(
        "sagemaker_inference.default_inference_handler"
    ).DefaultInferenceHandler()
    for name in [name for name in sys.modules if name.startswith("sagemaker_inference")]:
        del sys.modules[name]


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


@pytest.mark.long
def test_bodies_are_read_as_the_toolkit_reads_them(toolkit: Any) -> None:
    compared = [
        (kind, theirs_read(toolkit, body, content_type), ours_read(body, content_type), body)
        for kind, body, content_type in requests.bodies()
    ]

    different = [found for found in compared if found[1] != found[2]]

    assert [found for found in different if found[0] not in READ_OTHERWISE] == []
    assert {kind for kind, *_ in different} == READ_OTHERWISE
    assert (len(compared) - len(different), len(different)) == (582, 162)


@pytest.mark.long
def test_predictions_are_written_as_the_toolkit_writes_them(toolkit: Any) -> None:
    compared = [
        (kind, theirs_written(toolkit, value, accept), ours_written(value, accept))
        for kind, value, accept in requests.predictions()
    ]

    different = [found for found in compared if found[1] != found[2]]

    assert [found for found in different if found[0] not in WRITTEN_OTHERWISE] == []
    assert {kind for kind, *_ in different} == WRITTEN_OTHERWISE
    assert (len(compared) - len(different), len(different)) == (355, 35)
