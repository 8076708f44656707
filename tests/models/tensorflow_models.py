"""Tiny SavedModels. Each builder writes into a folder and returns it.

Importing this imports TensorFlow, which takes seconds: do it in a fixture.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

FEATURES = 4
ECHOED = [
    *("bfloat16", "float16", "float32", "float64", "complex64", "complex128", "bool", "string"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
]


def linear(folder: Path, slope: float, bias: float, *, features: int = FEATURES) -> Path:
    """Write `slope * sum(row) + bias`: input `x` float32 [*, features], output `y` [*, 1]."""
    weights = tf.Variable(tf.fill([features, 1], float(slope)))
    return save(folder, lambda x: {"y": x @ weights + bias}, {"x": spec([None, features])}, weights)


def sum_and_difference(folder: Path, keys: Sequence[str] = ("serving_default",)) -> Path:
    """Write a model of two inputs `a`, `b` [*, 2], the same under every key."""
    inputs = {"a": spec([None, 2]), "b": spec([None, 2])}
    return save(folder, lambda a, b: {"sum": a + b, "difference": a - b}, inputs, keys=keys)


def echo(folder: Path) -> Path:
    """Write a model that answers vectors of every type, each named after its type."""
    inputs = {name: spec([None], name) for name in ECHOED}
    return save(folder, lambda **vectors: {n: tf.identity(v) for n, v in vectors.items()}, inputs)


def of_shape(folder: Path, dimensions: Sequence[int | None] | None, dtype: str = "float32") -> Path:
    """Write a model that answers its input `x` of a shape as `y`, and the shape as `shape`."""
    answer = lambda x: {"y": tf.identity(x), "shape": tf.shape(x)}  # noqa: E731
    return save(folder, answer, {"x": spec(dimensions, dtype)})


def vocabulary(folder: Path, words: Path) -> Path:
    """Write a model from words `x` to their line numbers `y`; the file becomes its asset."""
    initializer = tf.lookup.TextFileInitializer(
        str(words),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    table = tf.lookup.StaticHashTable(initializer, default_value=-1)
    answer = lambda x: {"y": table.lookup(x)}  # noqa: E731
    return save(folder, answer, {"x": spec([None], "string")}, table)


def file_reader(folder: Path) -> Path:
    """Write a model that fails when the file `x` is missing."""
    return save(folder, lambda x: {"y": tf.io.read_file(x)}, {"x": spec([], "string")})


def keras_export(folder: Path) -> Path:
    """Write a Keras model of ones: input `x` float32 [*, 4]."""
    import keras

    inputs = keras.Input((FEATURES,), name="x")
    outputs = keras.layers.Dense(2, kernel_initializer="ones")(inputs)
    keras.Model(inputs, outputs).export(folder, verbose=False)
    return folder


def keras_file(path: Path) -> Path:
    """Write a Keras model with input `x` float32 [*, 4] in the format of the suffix."""
    import keras

    keras.utils.set_random_seed(7)
    inputs = keras.Input((FEATURES,), name="x")
    outputs = keras.layers.Dense(2)(keras.layers.Dense(3, activation="relu")(inputs))
    path.parent.mkdir(parents=True, exist_ok=True)
    keras.Model(inputs, outputs).save(path)
    return path


def keras_embedding(path: Path, words: int) -> Path:
    """Write a Keras model that takes the numbers of words, [*, 1]."""
    import keras

    inputs = keras.Input((1,), name="x", dtype="int32")
    keras.Model(inputs, keras.layers.Embedding(words, 2)(inputs)).save(path)
    return path


def estimator_export(folder: Path) -> Path:
    """Write what a TensorFlow 1 estimator exports: named columns in, `class_ids` [*, 1] out."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        columns = {name: v1.placeholder(tf.float64, [None]) for name in ("width", "length")}
        weights = v1.get_variable("weights", initializer=tf.constant([[1.0], [2.0]], tf.float64))
        score = tf.stack(list(columns.values()), axis=1) @ weights
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.build_tensor_info
        signature = v1.saved_model.build_signature_def(
            {name: info(column) for name, column in columns.items()},
            {"class_ids": info(tf.cast(score > 10, tf.int64)), "score": info(score)},
            v1.saved_model.PREDICT_METHOD_NAME,
        )
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            [v1.saved_model.SERVING],
            {"predict": signature, "serving_default": signature, "classification": signature},
        )
        builder.save()
    return folder


def spec(dimensions: Sequence[int | None] | None, dtype: str = "float32") -> Any:
    """Describe an input; None is one of any shape."""
    return tf.TensorSpec(dimensions, tf.dtypes.as_dtype(dtype))


def save(
    folder: Path,
    answer: Callable[..., dict[str, Any]],
    inputs: dict[str, Any],
    resource: Any = None,
    *,
    keys: Sequence[str] = ("serving_default",),
) -> Path:
    """Write a function under one or more signature keys, with the resource that it uses."""
    module = tf.Module()
    module.resource = resource
    module.function = tf.function(answer)
    named = {name: tf.TensorSpec(one.shape, one.dtype, name) for name, one in inputs.items()}
    function = module.function.get_concrete_function(**named)
    tf.saved_model.save(module, str(folder), signatures=dict.fromkeys(keys, function))
    return folder
