"""Each format that is served: how a framework writes a model, and what it answers to `ROWS`."""

import importlib
import io
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path("build/formats")
"""Where `make formats` installs what little else needs."""
WIDTH = 4
ROWS = np.random.default_rng(5).normal(size=(1000, WIDTH)).astype(np.float32).astype(np.float64)
"""Numbers that float32 holds, too: scikit-learn's models get float32 rows, as on SageMaker."""
TARGETS = np.sin(ROWS).sum(axis=1)
TEXTS = [
    f"{'good' if row[0] > 0 else 'bad'} {'houston ' * (1 + index % 5)}"
    for index, row in enumerate(ROWS)
]
Change = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Kind:
    """One format."""

    write: Callable[[Path], Any]
    """Writes a model into an empty folder and returns the framework's answers."""
    file: str | None = None
    """The file that can be a target model by itself."""
    part: str = ""
    """The file that is changed to make a damaged model, where that is another one."""
    newer: tuple[Change, str] | None = None
    """Makes a file state that a later version wrote it, and the words of the refusal."""
    hostile: tuple[Change, str] | None = None
    """Makes a file ask for what it must not have, and the words of the refusal."""
    needs_code: bool = False
    body: bytes = json.dumps(ROWS.tolist()).encode()
    member: str | None = None
    """The member of the answer that holds the predictions."""
    tolerance: float = 0.0
    """How far numbers may be off: TensorFlow may round otherwise in a graph, by processor."""


def replaced(old: bytes, new: bytes) -> Change:
    """Return a change of the first place where `old` is."""

    def change(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new, 1)

    return change


def last_replaced(old: bytes, new: bytes) -> Change:
    """Return a change of the last place where `old` is."""
    return lambda content: new.join(content.rpartition(old)[::2])


def in_zip(member: str, change: Change) -> Change:
    """Return a change of one member of a zip archive."""

    def changed(content: bytes) -> bytes:
        sink = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(sink, "w") as new:
            for info in old.infolist():
                data = old.read(info)
                new.writestr(info, change(data) if info.filename == member else data)
        return sink.getvalue()

    return changed


def _matched(pattern: bytes, new: bytes) -> Change:
    def change(content: bytes) -> bytes:
        changed, count = re.subn(pattern, lambda _: new, content, count=1, flags=re.DOTALL)
        assert count == 1
        return changed

    return change


def xgboost_json(folder: Path) -> Any:
    import xgboost

    data = xgboost.DMatrix(ROWS, TARGETS)
    model = xgboost.train({"nthread": 1, "max_depth": 4}, data, 10)
    model.save_model(folder / "model.json")
    return model.predict(data)


def xgboost_ubj(folder: Path) -> Any:
    answers = xgboost_json(folder)
    import xgboost

    xgboost.Booster(model_file=folder / "model.json").save_model(folder / "model.ubj")
    (folder / "model.json").unlink()
    return answers


def lightgbm_text(folder: Path) -> Any:
    import lightgbm

    settings = {"verbosity": -1, "num_threads": 1}
    model = lightgbm.train(settings, lightgbm.Dataset(ROWS, TARGETS), 10)
    model.save_model(folder / "model.txt")
    return model.predict(ROWS)


def _catboost(folder: Path, name: str, form: str) -> Any:
    catboost = importlib.import_module("catboost")
    settings = {"iterations": 10, "depth": 4, "verbose": 0, "allow_writing_files": False}
    model = catboost.CatBoostRegressor(thread_count=1, **settings).fit(ROWS, TARGETS)
    model.save_model(str(folder / name), format=form)
    return catboost.CatBoost().load_model(str(folder / name), format=form).predict(ROWS)


def catboost_binary(folder: Path) -> Any:
    return _catboost(folder, "model.cbm", "cbm")


def catboost_json(folder: Path) -> Any:
    return _catboost(folder, "model.json", "json")


def onnx_graph(folder: Path) -> Any:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(1).normal(size=(WIDTH, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Tanh", ["h"], ["y"])],
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.save(model, folder / "model.onnx")
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    return session.run(None, {"x": ROWS.astype(np.float32)})[0]


def _calling_skops() -> bytes:
    """Return a skops file that calls a function when it predicts."""
    import joblib
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    content: bytes = skops.io.dumps(FunctionTransformer(func=joblib.hash))
    return content


def _forest() -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(5, max_depth=5, random_state=1).fit(ROWS, TARGETS)


def sklearn_joblib(folder: Path) -> Any:
    import joblib

    model = _forest()
    joblib.dump(model, folder / "model.joblib")
    return model.predict(ROWS)


def sklearn_skops(folder: Path) -> Any:
    import skops.io

    model = _forest()
    skops.io.dump(model, folder / "model.skops")
    return model.predict(ROWS)


def saved_model(folder: Path) -> Any:
    tensorflow = importlib.import_module("tensorflow")
    keras = importlib.import_module("keras")
    model = _layers(keras)
    model.export(folder / "1", verbose=False)
    loaded = tensorflow.saved_model.load(folder / "1")
    return loaded.signatures["serving_default"](tensorflow.constant(ROWS, "float32"))[
        "output_0"
    ].numpy()


def keras_file(folder: Path) -> Any:
    model = _layers(importlib.import_module("keras"))
    model.save(folder / "model.keras")
    return model(ROWS.astype(np.float32)).numpy()


def keras_by_batches(folder: Path) -> Any:
    """Write the same; MLflow's flavour calls `predict`, whose numbers differ in the last bits."""
    keras_file(folder)
    model = importlib.import_module("keras").saving.load_model(folder / "model.keras")
    return model.predict(ROWS.astype(np.float32), verbose=0)


def _layers(keras: Any) -> Any:
    keras.utils.set_random_seed(7)
    layers = [keras.Input((WIDTH,), name="x"), keras.layers.Dense(3, activation="tanh")]
    return keras.Sequential(layers)


def huggingface(folder: Path) -> Any:
    from tests.formats.text_models import text_classifier

    return text_classifier(folder, TEXTS)


def mlflow_of(flavour: str, write: Callable[[Path], Any], **options: Any) -> Callable[[Path], Any]:
    """Return what writes a model as MLflow does."""

    def write_folder(folder: Path) -> Any:
        module = importlib.import_module(f"mlflow.{flavour}")
        with tempfile.TemporaryDirectory() as scratch:
            answers = write(Path(scratch))
            model = _loaded(flavour, Path(scratch))
            module.save_model(model, f"{scratch}/mlflow", pip_requirements=[], **options)
            shutil.copytree(f"{scratch}/mlflow", folder, dirs_exist_ok=True)
        return answers

    return write_folder


def _loaded(flavour: str, folder: Path) -> Any:
    if flavour == "sklearn":
        import joblib

        return joblib.load(folder / "model.joblib")
    if flavour == "xgboost":
        import xgboost

        return xgboost.Booster(model_file=folder / "model.ubj")
    if flavour == "lightgbm":
        import lightgbm

        return lightgbm.Booster(model_file=folder / "model.txt")
    if flavour == "catboost":
        return importlib.import_module("catboost").CatBoost().load_model(str(folder / "model.cbm"))
    if flavour == "onnx":
        import onnx

        return onnx.load(folder / "model.onnx")
    return importlib.import_module("keras").saving.load_model(folder / "model.keras")


KINDS: Mapping[str, Kind] = {
    "XGBoost JSON": Kind(
        xgboost_json,
        "model.json",
        newer=(_matched(rb'"version":\[\d+,', b'"version":[99,'), "newer than the installed"),
        hostile=(_matched(rb'"left_children":\[\d+', b'"left_children":[99999'), "damaged"),
    ),
    "XGBoost UBJSON": Kind(
        xgboost_ubj,
        "model.ubj",
        newer=(
            _matched(rb"(?<=L\x00{7}\x07version\[#L\x00{7}\x03)i.", b"i\x63"),
            "newer than the installed",
        ),
        hostile=(
            last_replaced(
                b"num_featureSL" + bytes(7) + b"\x014", b"num_featureSL" + bytes(7) + b"\x011"
            ),
            "damaged",
        ),
    ),
    "LightGBM": Kind(
        lightgbm_text,
        "model.txt",
        newer=(replaced(b"version=v4", b"version=v5"), "v5"),
        hostile=(replaced(b"left_child=", b"left_child=99999999 "), "damaged"),
    ),
    "CatBoost": Kind(
        catboost_binary,
        "model.cbm",
        newer=(replaced(b"FlabuffersModel_v1", b"FlabuffersModel_v9"), "CatBoost refuses"),
        hostile=(
            lambda content: content[:8] + b"\xff\xff\xff\x7f" + content[12:],
            "CatBoost refuses",
        ),
    ),
    "CatBoost JSON": Kind(
        catboost_json,
        "model.json",
    ),
    "ONNX": Kind(
        onnx_graph,
        "model.onnx",
        newer=(lambda content: b"\x08\x1f" + content[2:], "Unsupported model IR version"),
        hostile=(
            replaced(b"\x08\x04\x08\x03\x10\x01", b"\x08\x04\x08\x7f\x10\x01"),
            "cannot be loaded",
        ),
    ),
    "scikit-learn joblib": Kind(
        sklearn_joblib,
        "model.joblib",
        hostile=(lambda content: content, "runs code of the artifact"),
        needs_code=True,
    ),
    "scikit-learn skops": Kind(
        sklearn_skops,
        "model.skops",
        newer=(in_zip("schema.json", _matched(rb'"protocol": \d+', b'"protocol": 99')), "protocol"),
        hostile=(lambda content: _calling_skops(), "types that may run code"),
    ),
    "SavedModel": Kind(
        saved_model,
        part="1/saved_model.pb",
        newer=(lambda content: content.replace(b"MatMul", b"MatMux"), "MatMux"),
        hostile=(lambda content: content.replace(b"MatMul", b"PyFunc"), "may read or write files"),
        member="predictions",
    ),
    "Keras": Kind(
        keras_file,
        "model.keras",
        newer=(in_zip("config.json", replaced(b'"Dense"', b'"Dance"')), "Dance"),
        hostile=(lambda content: content, "runs code of the artifact"),
        needs_code=True,
        member="predictions",
        tolerance=1e-6,
    ),
    "Hugging Face": Kind(
        huggingface,
        part="tokenizer.json",
        newer=(replaced(b'"version": "1.0"', b'"version": "9.0"'), "tokenizer.json cannot be read"),
        body=json.dumps({"inputs": TEXTS}).encode(),
    ),
    "MLflow sklearn, pickle": Kind(
        mlflow_of("sklearn", sklearn_joblib, serialization_format="pickle"),
        part="model.pkl",
        needs_code=True,
    ),
    "MLflow sklearn, skops": Kind(
        mlflow_of("sklearn", sklearn_joblib, skops_trusted_types=["sklearn.tree._tree.Tree"]),
        part="model.skops",
    ),
    "MLflow xgboost": Kind(mlflow_of("xgboost", xgboost_ubj), part="model.ubj"),
    "MLflow lightgbm": Kind(mlflow_of("lightgbm", lightgbm_text), part="model.lgb"),
    "MLflow catboost": Kind(mlflow_of("catboost", catboost_binary), part="model.cb"),
    "MLflow onnx": Kind(mlflow_of("onnx", onnx_graph), part="model.onnx"),
    "MLflow tensorflow": Kind(
        mlflow_of("tensorflow", keras_by_batches), part="data/model.keras", needs_code=True
    ),
}
