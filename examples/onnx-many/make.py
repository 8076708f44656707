"""Write many small ONNX models, each with its own weights: `y = x @ W + b`.

Every model has the input `input`, float [N, 4], and the output `output`, float [N, 1]. The seed of
model i is i, so a file always has the same content. Existing files are kept.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from rich.progress import track

MODELS = Path(__file__).parent / "models"
REGIONS = ("north", "south")
FEATURES = 4
# Every onnxruntime from 1.20 on reads these; `onnx` would choose the newest versions it knows.
_OPSET, _IR_VERSION = 17, 9
_NESTED_EVERY = 40


def names(count: int) -> Iterator[str]:
    """Yield the target models: most at the root, some in a folder per region."""
    for number in range(1, count + 1):
        name = f"store-{number:04}.onnx"
        nested, turn = number % _NESTED_EVERY == 0, number // _NESTED_EVERY
        yield f"region/{REGIONS[turn % len(REGIONS)]}/{name}" if nested else name


def make_model(number: int) -> bytes:
    """Return the serialised model of one store."""
    random = np.random.default_rng(number)
    weights = random.normal(size=(FEATURES, 1)).astype(np.float32)
    bias = random.normal(scale=10, size=1).astype(np.float32)
    graph = helper.make_graph(
        nodes=[helper.make_node("Gemm", ["input", "W", "b"], ["output"])],
        name=f"store-{number}",
        inputs=[helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", FEATURES])],
        outputs=[helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 1])],
        initializer=[numpy_helper.from_array(weights, "W"), numpy_helper.from_array(bias, "b")],
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--out", type=Path, default=MODELS, help="folder for the models")
    options = parser.parse_args()
    missing = [
        (number, options.out / name)
        for number, name in enumerate(names(options.count), start=1)
        if not (options.out / name).exists()
    ]
    for number, path in track(missing, description="making", transient=True, disable=not missing):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.unfinished")
        unfinished.write_bytes(make_model(number))
        unfinished.replace(path)
    kept = options.count - len(missing)
    print(f"{len(missing)} models made, {kept} kept, in {options.out.name}/")


if __name__ == "__main__":
    sys.exit(main())
