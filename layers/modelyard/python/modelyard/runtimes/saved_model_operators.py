"""Find operators of a SavedModel that reach for files, streams or Python: loading it may run them.

Only operators that a load or a call can run count. In the format of TensorFlow 2 those are in
the functions that the objects of the model have, and in what these call; the functions that save
and restore a checkpoint are not among them. In the format of TensorFlow 1 it is the whole graph.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from modelyard.domain.errors import ModelLoadError

_REACHES_OUT = re.compile(
    "File|Save|Restore|Checkpoint|Reader|Dataset|Iterator|Summary|PyFunc|Print|Debug|Dump|Rpc|Send"
    "|Recv|Remote|Tpu|TPU|Sql|Lmdb|LMDB|Cache|Collective|Compile|Proto|Remap|RecordInput|CopyHost"
    "|Skipgram|FixedUnigram|Xla|TRT|Gcs|Custom|ImportEvent"
)
"""What the names of such operators contain; a name that only looks alike costs `allow_code`."""


def reaching_out(folder: Path) -> list[str]:
    """Return the operators of the SavedModel in a folder that reach out of it, sorted.

    Raises:
        ModelLoadError: `saved_model.pb` is damaged.
    """
    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString((folder / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ModelLoadError("saved_model.pb is damaged: it is not protobuf") from error
    graphs = saved_model.meta_graphs
    # Only then does TensorFlow load objects; otherwise it runs the graphs themselves.
    has_objects = len(graphs) == 1 and len(graphs[0].object_graph_def.nodes) > 0
    found = set(
        _of_objects(graphs[0]) if has_objects else (name for one in graphs for name in _all_of(one))
    )
    return sorted(filter(_REACHES_OUT.search, found))


def _all_of(meta_graph: Any) -> Iterator[str]:
    """Yield the operators of a graph and of all its functions."""
    graph = meta_graph.graph_def
    for nodes in (graph.node, *(one.node_def for one in graph.library.function)):
        yield from (node.op for node in nodes)


def _of_objects(meta_graph: Any) -> set[str]:
    """Return the operators of the functions that objects have, and of those that these call."""
    library = {one.signature.name: one.node_def for one in meta_graph.graph_def.library.function}
    waiting = list(meta_graph.object_graph_def.concrete_functions)
    seen: set[str] = set()
    operators: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in library:
            continue
        seen.add(name)
        operators.update(node.op for node in library[name])
        waiting.extend(_called(library[name]))
    return operators


def _called(nodes: Iterable[Any]) -> Iterator[str]:
    """Yield the functions that nodes call: by their operator, or by an attribute."""
    for node in nodes:
        yield node.op
        for value in node.attr.values():
            yield value.func.name
            yield from (function.name for function in value.list.func)
