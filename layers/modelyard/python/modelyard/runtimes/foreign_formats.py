"""Name model files of formats that are not served, for the message of a refusal.

Names and first bytes tell; no framework is imported and nothing is parsed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelyard.domain import model_files

_HEAD_BYTES = 512
_MLFLOW_FLAVOURS = re.compile(r"^flavors:[ \t]*\n((?:[ \t]+.*\n?|\n)+)", re.M)
_MLFLOW_FLAVOUR = re.compile(r"^(?:  |\t)([A-Za-z_]\w*):", re.M)
_MLFLOW_METHOD = re.compile(r"^[ \t]+predict_fn:[ \t]*['\"]?(\w+)", re.M)
_MLFLOW_SERVED = frozenset({"sklearn", "xgboost", "lightgbm", "catboost", "onnx"})
_MLFLOW_FUNCTION = "python_function"
_MOST_DESCRIPTION_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ForeignFormat:
    """A model format that is not served, and how files of it are known."""

    what: str
    instead: str
    """What the owner of the model can do."""
    suffixes: tuple[str, ...]
    head: re.Pattern[bytes]


_TO_ONNX = "export it to ONNX"
_BY_NAME_ONLY = re.compile(rb"(?!)")

FORMATS = (
    ForeignFormat(
        "a PyTorch model",
        f"{_TO_ONNX} with torch.onnx.export()",
        (".pt", ".pth"),
        # A zip with data.pkl first (1.6 and newer, and TorchScript), or the older pickle.
        re.compile(
            rb"PK\x03\x04.{26}[^\x00/]+/(?:data\.pkl|version|code/|\.format_version)"
            rb"|\x80.\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19",
            re.DOTALL,
        ),
    ),
    ForeignFormat(
        "weights in safetensors",
        "export the whole model to ONNX (torch.onnx.export() or Hugging Face Optimum)",
        (".safetensors",),
        re.compile(rb".{5}\x00{3}\{\"", re.DOTALL),
    ),
    ForeignFormat(
        "a language model in GGUF",
        "serve it with llama.cpp; language models are not served here",
        (".gguf", ".ggml"),
        re.compile(rb"GGUF|[lft][mj]gg"),
    ),
    ForeignFormat(
        "a Keras model",
        "call it *.h5, or export it with model.export(folder)",
        (".hdf5",),
        re.compile(rb"\x89HDF\r\n\x1a\n"),
    ),
    ForeignFormat(
        "a model in PMML",
        f"{_TO_ONNX} from the framework that trained it",
        (".pmml",),
        re.compile(
            rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<PMML\b", re.DOTALL
        ),
    ),
    ForeignFormat(
        "a TensorFlow Lite model",
        f"{_TO_ONNX} with tf2onnx",
        (".tflite",),
        re.compile(rb".{4}TFL3", re.DOTALL),
    ),
    ForeignFormat(
        "a model in ONNX Runtime's own format",
        "keep the .onnx file that it was made from",
        (".ort",),
        re.compile(rb".{4}ORTM", re.DOTALL),
    ),
    ForeignFormat(
        "an archive of TorchServe",
        f"{_TO_ONNX} with torch.onnx.export(), or write a code/inference.py from its handler",
        (".mar",),
        _BY_NAME_ONLY,
    ),
    ForeignFormat(
        "an engine of TensorRT, which needs a GPU",
        "keep the .onnx file that it was made from",
        (".engine", ".plan", ".trt"),
        re.compile(rb"[pf]trt"),
    ),
    ForeignFormat(
        "a training checkpoint",
        "export the trained model to ONNX, or as a SavedModel",
        (".ckpt",),
        _BY_NAME_ONLY,
    ),
    ForeignFormat(
        "a Core ML model",
        f"{_TO_ONNX} from the framework that trained it",
        (".mlmodel",),
        _BY_NAME_ONLY,
    ),
    ForeignFormat(
        "a model of Caffe, MXNet or RKNN",
        f"{_TO_ONNX} with the converter of that framework",
        (".caffemodel", ".params", ".rknn"),
        re.compile(rb"\x12\x01\x00{6}|RKNN"),
    ),
    ForeignFormat(
        "a PaddlePaddle model", f"{_TO_ONNX} with paddle2onnx", (".pdmodel",), _BY_NAME_ONLY
    ),
    ForeignFormat(
        "a fastText model",
        "write a code/inference.py that loads it",
        (".ftz",),
        re.compile(rb"\xba\x16\x4f\x2f"),
    ),
    ForeignFormat(
        "a model of H2O",
        "write a code/inference.py that loads it, or train the same with XGBoost",
        (".mojo",),
        _BY_NAME_ONLY,
    ),
    ForeignFormat(
        "an object of R",
        "save an XGBoost or LightGBM model with the function of its package",
        (".rds", ".rdata"),
        _BY_NAME_ONLY,
    ),
)


def refusal(path: Path) -> str | None:
    """Return what a file is and what to do instead, as a clause; None if it seems no such model."""
    found = _found(path)
    return None if found is None else f"{path.name} seems to be {found.what}: {found.instead}"


def refusal_by_name(name: str) -> str | None:
    """Return the same clause without the name, for a file of which only the name is known."""
    suffix = model_files.suffix_of(name)
    found = next((known for known in FORMATS if suffix in known.suffixes), None)
    return None if found is None else f"{found.what}: {found.instead}"


def _found(path: Path) -> ForeignFormat | None:
    suffix = model_files.suffix_of(path.name)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    by_content = next((known for known in FORMATS if known.head.match(head)), None)
    return by_content or next((known for known in FORMATS if suffix in known.suffixes), None)


def mlflow_flavours(model_dir: Path) -> list[str]:
    """Return the flavours that the `MLmodel` of a folder lists; none without such a file."""
    return _MLFLOW_FLAVOUR.findall(_listed_flavours(model_dir))


def mlflow_method(model_dir: Path) -> str | None:
    """Return the method of an estimator that MLflow calls, if the `MLmodel` names another one.

    `mlflow.sklearn.log_model` has the argument `pyfunc_predict_fn` for it.
    """
    found = _MLFLOW_METHOD.search(_listed_flavours(model_dir))
    return found[1] if found and found[1] != "predict" else None


def _listed_flavours(model_dir: Path) -> str:
    path = model_dir / "MLmodel"
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        text = file.read(_MOST_DESCRIPTION_BYTES).decode(errors="replace")
    listed = _MLFLOW_FLAVOURS.search(text)
    return listed[1] if listed else ""


def needs_mlflow(flavours: Sequence[str]) -> bool:
    """Return whether only MLflow's own package can load a model of these flavours."""
    return _MLFLOW_FUNCTION in flavours and _MLFLOW_SERVED.isdisjoint(flavours)


def mlflow_refusal(flavours: Sequence[str]) -> str | None:
    """Return why an MLflow model cannot be served, or None for a flavour that is, or none."""
    if not flavours or not _MLFLOW_SERVED.isdisjoint(flavours):
        return None
    return (
        f"its MLmodel names the flavour {flavours[0]}, which is not served without the flavour "
        "python_function: log the model with mlflow.onnx, or write a code/inference.py"
    )
