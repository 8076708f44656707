"""The booster in a pickle, found without running what the pickle says.

A pickle is a program for a small stack machine. This one knows the instructions that a pickled
`xgboost.Booster` or `XGBModel` is made of. It imports nothing and calls nothing: a name stands for
itself, and a call is kept as a value that is never carried out. The values of arrays, which
joblib writes between the instructions, are skipped. Every other instruction or name is refused.
"""

import io
import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_BOOSTER = ("xgboost.core", "Booster")
_ESTIMATORS = frozenset(
    ("xgboost.sklearn", name)
    for name in (
        *("XGBModel", "XGBClassifier", "XGBRegressor", "XGBRanker"),
        *("XGBRFClassifier", "XGBRFRegressor"),
    )
)
_BYTEARRAYS = (("builtins", "bytearray"), ("__builtin__", "bytearray"))
_ENCODE = ("_codecs", "encode")
"""Protocol 2 knows no bytes: it stores text and asks for its encoding in Latin-1."""

_JOBLIB_ARRAY = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_ARRAY_TYPE = re.compile(r"([biufSU])(\d{1,4})")

# What the settings and classes of an estimator are made of.
_ARRAYS = frozenset(
    (f"numpy{core}.{module}", name)
    for core in (".core", "._core")
    for module, name in (
        *(("multiarray", "_reconstruct"), ("multiarray", "scalar")),
        ("numeric", "_frombuffer"),
    )
)
_KNOWN = frozenset(
    (
        *(_BOOSTER, _ENCODE, *_BYTEARRAYS, *_ESTIMATORS, *_ARRAYS, _JOBLIB_ARRAY),
        *(("numpy", "ndarray"), ("numpy", "dtype"), ("collections", "OrderedDict")),
        ("xgboost.compat", "XGBoostLabelEncoder"),
        ("sklearn.preprocessing.label", "LabelEncoder"),
        ("sklearn.preprocessing._label", "LabelEncoder"),
    )
)

_MOST_INSTRUCTIONS = 1_000_000
"""A booster takes some dozens, an estimator with classes and its evaluation some thousands."""

_MOST_CHARACTERS = 2**24
"""Of all feature names: a pickle may repeat a long text in two bytes."""


class UnreadablePickleError(ValueError):
    """The pickle is damaged, or it is more than a booster or an estimator of XGBoost."""


@dataclass(frozen=True, slots=True)
class PickledBooster:
    """What a pickle says of its booster."""

    content: bytes
    """The model with or without its configuration, in the format of the version that wrote it."""
    feature_names: tuple[str, ...] = ()
    feature_types: tuple[str, ...] = ()


def read(content: bytes) -> PickledBooster:
    """Return the booster of a pickled booster or estimator.

    Raises:
        UnreadablePickleError: the reason is its text.
    """
    found = _Machine().run(content)
    if not isinstance(found, _Call):
        raise UnreadablePickleError("it holds no booster")
    if found.name == _BOOSTER:
        return _booster(found)
    if found.name not in _ESTIMATORS:
        raise UnreadablePickleError(f"it holds a {found.name[1]} instead of a booster")
    missing = found.state.get("missing")
    if not (missing is None or (isinstance(missing, float) and math.isnan(missing))):
        raise UnreadablePickleError(
            f"it takes {_shown(missing)} for a missing value, which a request cannot say; "
            'save its booster, get_booster().save_model("model.ubj"), and leave such cells empty'
        )
    booster = found.state.get("_Booster")
    if isinstance(booster, _Call) and booster.name == _BOOSTER:
        return _booster(booster)
    model = _bytes_of(booster)  # XGBoost 0.7 and older keep the model itself
    if model is None:
        raise UnreadablePickleError(f"its {found.name[1]} has not been fitted")
    return PickledBooster(model)


@dataclass(frozen=True, slots=True)
class _Name:
    """What a module calls something."""

    name: tuple[str, str]


@dataclass(slots=True)
class _Call:
    """What calling a name would return."""

    name: tuple[str, str]
    arguments: Any
    state: dict[str, Any] = field(default_factory=dict)


def _booster(found: _Call) -> PickledBooster:
    model = _bytes_of(found.state.get("handle"))
    if model is None:
        raise UnreadablePickleError("its booster holds no model")
    names, types = found.state.get("feature_names"), found.state.get("feature_types")
    return PickledBooster(model, _texts(names), _texts(types))


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        return ()
    if sum(map(len, value)) > _MOST_CHARACTERS:
        raise UnreadablePickleError(f"its feature names have over {_MOST_CHARACTERS} characters")
    return tuple(value)


def _bytes_of(value: Any) -> bytes | None:
    """Return the bytes that a value is or would be."""
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if not isinstance(value, _Call) or value.name not in (_ENCODE, *_BYTEARRAYS):
        return None
    match value.arguments:
        case (str(text), str(encoding)) if encoding.lower() in ("latin1", "latin-1"):
            return _latin(text)
        case (bytes(content),):
            return content
        case (_Call(name=name, arguments=(str(text), "latin1")),) if name == _ENCODE:
            return _latin(text)
    return None


def _latin(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise UnreadablePickleError("its model is text") from error


def _shown(value: Any) -> str:
    return repr(value)[:40] if isinstance(value, int | float | str) else "a computed value"


class _Machine:
    """The stack and the memo of a pickle; both only grow with the instructions carried out."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._stream = io.BytesIO()

    def run(self, content: bytes) -> Any:
        """Return what the pickle holds."""
        self._stream = io.BytesIO(content)
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(self._stream)):
                if count >= _MOST_INSTRUCTIONS:
                    raise UnreadablePickleError(f"it has over {_MOST_INSTRUCTIONS} instructions")
                self._step(opcode.name, argument)
            return self._pop()
        except UnreadablePickleError:
            raise
        except (ValueError, LookupError, TypeError) as error:
            raise UnreadablePickleError("it is damaged") from error

    def _step(self, instruction: str, argument: Any) -> None:
        if instruction in _VALUES:
            self.push(argument)
        elif instruction in _STEPS:
            _STEPS[instruction](self, argument)
        elif instruction not in _IGNORED:
            raise UnreadablePickleError(f"it has an instruction {instruction}, which boosters lack")

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        place = self._marks.pop()
        found = self._stack[place:]
        del self._stack[place:]
        return found

    def mark(self, _: None) -> None:
        self._marks.append(len(self._stack))

    def tuple_of(self, count: int) -> None:
        found = [self._pop() for _ in range(count)]
        self._stack.append(tuple(reversed(found)))

    def tuple_to_mark(self, _: None) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def append(self, _: None) -> None:
        self._extend([self._pop()])

    def appends(self, _: None) -> None:
        self._extend(self._pop_to_mark())

    def _extend(self, items: list[Any]) -> None:
        if isinstance(self._stack[-1], list):
            self._stack[-1].extend(items)

    def set_item(self, _: None) -> None:
        value = self._pop()
        self._update([self._pop(), value])

    def set_items(self, _: None) -> None:
        self._update(self._pop_to_mark())

    def _update(self, items: list[Any]) -> None:
        """Keep what has a text for its key; a booster's own members all have."""
        if isinstance(self._stack[-1], dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            self._stack[-1].update(pair for pair in pairs if isinstance(pair[0], str))

    def memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def put(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    def get(self, place: int) -> None:
        self._stack.append(self._memo[place])

    def name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._push_name(module, name)

    def name_on_stack(self, _: None) -> None:
        name = self._pop()
        self._push_name(self._pop(), name)

    def _push_name(self, module: Any, name: Any) -> None:
        # Texts only: to hash or print anything else, Python might recurse without end.
        if not (isinstance(module, str) and isinstance(name, str)):
            raise UnreadablePickleError("it computes a name")
        if (module, name) not in _KNOWN:
            raise UnreadablePickleError(f"it names {module}.{name}"[:100] + ", which boosters lack")
        self._stack.append(_Name((module, name)))

    def call(self, _: None) -> None:
        arguments = self._pop()
        called = self._pop()
        if not isinstance(called, _Name):
            raise UnreadablePickleError("it calls a computed value")
        self._stack.append(_Call(called.name, arguments))

    def call_with_names(self, _: None) -> None:
        self._pop()
        self.call(None)

    def build(self, _: None) -> None:
        state = self._pop()
        if isinstance(self._stack[-1], _Call) and isinstance(state, dict):
            self._stack[-1].state = state
            if self._stack[-1].name == _JOBLIB_ARRAY:
                self._skip_array(state)

    def _skip_array(self, described: dict[str, Any]) -> None:
        """Skip the values of an array, which follow its description and bytes that align them."""
        match described.get("shape"), described.get("dtype"):
            case tuple(shape), _Call(name=("numpy", "dtype"), arguments=(str(kind), *_)):
                known = _ARRAY_TYPE.fullmatch(kind)
            case _:
                known = None
        if known is None or not all(isinstance(size, int) and size >= 0 for size in shape):
            raise UnreadablePickleError("it has an array of objects, which boosters lack")
        item_bytes = int(known[2]) * (4 if known[1] == "U" else 1)
        size_bytes = math.prod(shape) * item_bytes
        if described.get("numpy_array_alignment_bytes") is not None:
            size_bytes += int.from_bytes(self._stream.read(1), "little")
        if size_bytes > self._stream.getbuffer().nbytes - self._stream.tell():
            raise UnreadablePickleError("it is damaged")
        self._stream.seek(size_bytes, io.SEEK_CUR)


_IGNORED = ("PROTO", "FRAME", "STOP")
# Instructions that put their argument on the stack.
_VALUES = frozenset(
    (
        *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "MARK": _Machine.mark,
    "TUPLE": _Machine.tuple_to_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "MEMOIZE": _Machine.memoize,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_on_stack,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_names,
    "BUILD": _Machine.build,
}
