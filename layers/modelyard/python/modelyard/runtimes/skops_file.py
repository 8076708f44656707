"""Tell from the description in a skops file, without building anything, what is in it.

A skops file is a zip archive: `schema.json` describes the objects, other members hold arrays. Most
of the compiled code of scikit-learn uses the numbers in its objects as they are. So only objects
whose code computes with NumPy alone, or whose numbers `sklearn_structure` checks, are built in a
process that serves other models.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DATA_TYPES = frozenset(
    {
        "numpy.dtype",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
    }
)
"""Parts of common estimators that hold data and run none of the artifact's code, yet are not on
skops's own list: without them no forest, neighbour search or calibrated model would load."""

_SAFE_LOADERS = frozenset(
    {
        "DTypeNode",
        "DictNode",
        "JsonNode",
        "ListNode",
        "LossNode",
        "NdArrayNode",
        "RandomGeneratorNode",
        "RandomStateNode",
        "SetNode",
        "SliceNode",
        "TreeNode",
        "TupleNode",
        "TypeNode",
    }
)
"""What builds containers, numbers and arrays. skops itself restricts their types."""

_SAFE_MODULES = (
    "sklearn._loss.",
    "sklearn.calibration.",
    "sklearn.compose.",
    "sklearn.discriminant_analysis.",
    "sklearn.dummy.",
    "sklearn.ensemble.",
    "sklearn.feature_selection.",
    "sklearn.impute._base.",
    "sklearn.linear_model.",
    "sklearn.multiclass.",
    "sklearn.multioutput.",
    "sklearn.naive_bayes.",
    "sklearn.neural_network.",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.MaxAbsScaler",
    "sklearn.preprocessing._data.MinMaxScaler",
    "sklearn.preprocessing._data.Normalizer",
    "sklearn.preprocessing._data.RobustScaler",
    "sklearn.preprocessing._data.StandardScaler",
    "sklearn.preprocessing._encoders.OneHotEncoder",
    "sklearn.preprocessing._encoders.OrdinalEncoder",
    "sklearn.preprocessing._function_transformer.",
    "sklearn.preprocessing._label.",
    "sklearn.decomposition._pca.PCA",
    "sklearn.tree.",
    "sklearn.utils._bunch.Bunch",
)
"""Where the objects are whose predictions end, and take memory in proportion to their arrays."""

_SCHEMA = "schema.json"
_LARGEST_SCHEMA_BYTES = 64 << 20
_MOST_VALUES = 4 << 20
"""The parsed description takes up to 100 bytes for each value in it."""
_BEGIN_VALUES = (b"{", b"[", b",")


def needs_process(path: Path) -> bool:
    """Return whether the file must be loaded in a process of its own.

    That is so when compiled code would use numbers that nobody checked, or when loading may take
    much more memory than the file has bytes. A file that cannot be read also needs one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(_SCHEMA).file_size > _LARGEST_SCHEMA_BYTES:
                return True
            content = archive.read(_SCHEMA)
            sizes = {member.filename: member.file_size for member in archive.infolist()}
        if sum(map(content.count, _BEGIN_VALUES)) > _MOST_VALUES:
            return True
        return not _is_safe(json.loads(content), sizes)
    except Exception:  # whatever is wrong with it, the load says it
        return True


def _is_safe(schema: Any, sizes: Mapping[str, int]) -> bool:
    read_bytes, known = 0, set()
    for node in _nodes(schema):
        if node["__loader__"] not in _SAFE_LOADERS and not _is_safe_object(node):
            return False
        if "file" in node and node.get("__id__") not in known:
            known.add(node.get("__id__"))
            read_bytes += sizes[node["file"]]
    return read_bytes <= sum(sizes.values())  # no member is read a thousand times


def _is_safe_object(node: Mapping[str, Any]) -> bool:
    name = f"{node['__module__']}.{node['__class__']}"
    return node["__loader__"] == "ObjectNode" and name.startswith(_SAFE_MODULES)


def _nodes(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every part of a description that says how it is loaded, at any depth."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "__loader__" in part:
                yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
