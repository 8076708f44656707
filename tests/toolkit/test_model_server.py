"""Whole scripts answer as under SageMaker's toolkit in its model server.

`make toolkit` installs both packages, `sagemaker-inference` and `multi-model-server`. Each script
is run by both: by the toolkit's `Transformer`, whose result the model server's code encodes, and by
Modelyard.
"""

import importlib
import json
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from modelyard.domain.errors import ModelError
from modelyard.domain.values import Payload
from modelyard.runtimes import registry
from tests.toolkit import package
from tests.toolkit.table import Compared, is_in_docs

JSON, CSV = "application/json", "text/csv"
ACCEPTS = (JSON, CSV, "application/x-npy", "text/plain")
ERROR = "error"
USUAL_STATUS = 500

# What docs/sagemaker.md says under "Compared with SageMaker's own code", by name of a script.
OTHERWISE = {
    *("transform_fn: array", "transform_fn: NumPy number", "transform_fn: tuple of values"),
    *("output_fn: array", "output_fn: NumPy number", "output_fn: tuple of values"),
    *("transform_fn: NaN", "output_fn: NaN"),
    *("transform_fn: data of other types", "input_fn: data of other types"),
    "transform_fn: UnsupportedFormatError",
}

RETURNED = {
    "dict": "{'score': 0.5, 'label': 'a'}",
    "list": "[1, 2.5, 'a', None, True]",
    "number": "2.5",
    "whole number": "12345678901234567890",
    "boolean": "True",
    "None": "None",
    "text": "'a,b\\n'",
    "bytes": "b'\\x00\\xff'",
    "bytearray": "bytearray(b'abc')",
    "empty text": "''",
    "nested": "{'a': [{'b': [1, 2]}, {}], 'c': 'é'}",
    "text and its type": "('1,2', 'text/csv')",
    "list and its type": "([1, 2], 'application/json')",
    "bytes and a type of its own": "(b'abc', 'image/png')",
    "array": "np.arange(4.0).reshape(2, 2)",
    "NumPy number": "np.float32(1.5)",
    "NaN": "float('nan')",
    "tuple of values": "(1, 2)",
    "set": "{1}",
}
RAISED = {
    "ValueError": "raise ValueError('wrong')",
    "KeyError": "raise KeyError('wrong')",
    "status 400": "raise BadRequest",
    "UnsupportedFormatError": "raise errors.UnsupportedFormatError('a/b')",
    "sys.exit": "raise SystemExit(3)",
}
STEPS = {
    "status by the context": "context.set_response_status(404, 'none'); return 'no such house'",
    "header of the request": "return context.get_request_header(0, 'Content-Type')",
    "all headers": "return sorted(context.get_all_request_header(0))[-1]",
    "processor": "return context.request_processor[0].get_request_property('Content-Type')",
    "batch size": "return context.system_properties['batch_size']",
    "model folder": "return context.system_properties['model_dir'] == FOLDER",
}
TEXTS = (JSON, CSV)
OTHERS = ("application/x-npy", "text/plain", "image/png")


def scripts() -> Iterator[tuple[str, str, str, str]]:
    """Yield a name, a script, and the content type and the Accept header of the call."""
    for accept in ACCEPTS:
        for name, value in RETURNED.items():
            body = f"    return {value}\n"
            yield f"transform_fn: {name}", _transform(body), JSON, accept
            if "its type" not in name and "of its own" not in name:
                yield f"output_fn: {name}", _functions("output_fn(p, accept)", body), JSON, accept
        for name, line in (RAISED | STEPS).items():
            yield f"transform_fn: {name}", _transform(f"    {line}\n"), JSON, accept
    for kinds, name in ((TEXTS, "data as text"), (OTHERS, "data of other types")):
        body = "    return [type(data).__name__, content_type]\n"
        for kind in kinds:
            yield f"transform_fn: {name}", _transform(body), kind, JSON
            yield f"input_fn: {name}", _functions("input_fn(data, content_type)", body), kind, JSON


_HEAD = """\
import numpy as np
from sagemaker_inference import errors
class BadRequest(errors.BaseInferenceToolkitError):
    def __init__(self): super().__init__(400, 'wrong', 'wrong')
FOLDER = ''
def model_fn(model_dir):
    global FOLDER
    FOLDER = model_dir
"""


def _transform(body: str) -> str:
    return f"{_HEAD}def transform_fn(model, data, content_type, accept, context):\n{body}"


def _functions(head: str, body: str) -> str:
    rest = "" if "input_fn" in head else "def input_fn(data, content_type): return data\n"
    return f"{_HEAD}{rest}def predict_fn(value, model): return value\ndef {head}:\n{body}"


def theirs(folder: Path, body: bytes, content_type: str, accept: str) -> Any:
    """Return the status, the content type and what a client reads of the model server's answer."""
    transformer = importlib.import_module("sagemaker_inference.transformer").Transformer()
    context_module = importlib.import_module("mms.context")
    encoding = importlib.import_module("mms.protocol.otf_message_handler")
    context = context_module.Context("model", str(folder), {}, 1, None, "1.1.11")
    headers = {"Content-Type": content_type, "Accept": accept}
    context.request_processor = [context_module.RequestProcessor(headers)]
    context.request_ids = {0: "id"}
    sys.modules.pop("inference", None)
    sys.path.insert(0, str(folder / "code"))
    try:
        answers = transformer.transform([{"body": bytearray(body)}], context)
        message = encoding.create_predict_response(answers, {0: "id"}, "done", 200, context)
    except BaseException:  # the worker of the model server ends
        return ERROR, USUAL_STATUS
    finally:
        sys.path.remove(str(folder / "code"))
        sys.modules.pop("inference", None)
    status = context.get_response_status(0)[0]
    if _first_number(message) != 200 or not 200 <= status <= 299:
        return ERROR, status if status >= 300 else USUAL_STATUS
    return _meant(_last_part(message), context.get_response_content_type(0))


def _first_number(message: bytearray) -> int:
    return int(struct.unpack_from("!i", message)[0])


def _last_part(message: bytearray) -> bytes:
    """Return the body: it ends the message, behind its length and before the number -1."""
    end = len(message) - 4
    at = next(
        at for at in range(end, 3, -1) if struct.unpack_from("!i", message, at - 4)[0] == end - at
    )
    return bytes(message[at:end])


def ours(folder: Path, body: bytes, content_type: str, accept: str) -> Any:
    try:
        predictor = registry.load(registry.plan_load(folder, allow_code=True))
        found = predictor.predict(Payload(body, content_type, accept))
    except ModelError as error:
        return ERROR, error.original_status or USUAL_STATUS
    return _meant(found.body, found.content_type)


def _meant(body: bytes, content_type: str | None) -> Any:
    try:
        return content_type, repr(json.loads(body))
    except ValueError:
        return content_type, body


def answering() -> Compared:
    """Compare what callers of whole scripts get."""
    alike, different = Counter[str](), Counter[str]()
    with TemporaryDirectory() as parent:
        for number, (name, script, content_type, accept) in enumerate(scripts()):
            folder = Path(parent, str(number))
            (folder / "code").mkdir(parents=True)
            (folder / "code" / "inference.py").write_text(script)
            with package.importable():
                wanted = theirs(folder, b"[1, 2]", content_type, accept)
            is_equal = wanted == ours(folder, b"[1, 2]", content_type, accept)
            (alike if is_equal else different)[name] += 1
    return Compared("whole scripts in the toolkit's model server", alike, different)


@pytest.mark.long
@pytest.mark.skipif(not package.is_installed(), reason="make toolkit installs the packages")
def test_scripts_answer_as_in_the_model_server() -> None:
    found = answering()

    assert set(found.different) == OTHERWISE
    assert is_in_docs(found)
