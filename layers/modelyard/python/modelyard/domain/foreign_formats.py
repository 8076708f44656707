"""Model files of formats that are not served, and what their owners can do instead.

Names and first bytes tell. The other names of files are in `model_files`.
"""

import re
from dataclasses import dataclass

from modelyard.domain import model_files


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
        (".pt", ".pth", ".pt2"),
        # A zip with data.pkl first (1.6 and newer, and TorchScript), of torch.export, or the older
        # pickle.
        re.compile(
            rb"PK\x03\x04.{26}[^\x00/]+/(?:data\.pkl|version|code/|\.format_version|archive_format)"
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

BY_SUFFIX = {suffix: known for known in FORMATS for suffix in known.suffixes}


def refusal_by_name(name: str) -> str | None:
    """Return what a file of this name is and what to do instead; None if it seems no such model."""
    found = BY_SUFFIX.get(model_files.suffix_of(name))
    return None if found is None else f"{found.what}: {found.instead}"


def why_not_served(name: str, *, allow_code: bool) -> str | None:
    """Return why a model of this name is, or may be, refused; None if its name tells nothing."""
    if not model_files.may_run_code(name) or allow_code:
        return refusal_by_name(name)
    needed = "loading it can run code, which needs --allow-code or allow_code: true"
    return f"{needed}, unless it is a pickle of XGBoost" if model_files.is_pickle(name) else needed
