"""Import an artifact's own code so that no model sees the modules of another.

Many models bring an `inference.py` and a `utils.py`. Their modules enter `sys.modules` only
while their folder is active, under one lock for the process, and leave it again afterwards.
"""

import builtins
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

_T = TypeVar("_T")

# sys.path and sys.modules belong to the whole process, so one folder is active at a time.
_IMPORT_LOCK = threading.RLock()


class CodeFolder:
    """The Python modules of one folder, private to one model."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = {path.name.partition(".")[0] for path in folder.iterdir()}
        self._modules: dict[str, ModuleType] = {}
        self._is_active = False

    def import_script(self, file_name: str) -> ModuleType:
        """Execute a file of the folder as a module and return it.

        Imports that its functions make later find the folder's modules too.
        """
        name = Path(file_name).stem
        spec = importlib.util.spec_from_file_location(name, self._folder / file_name)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": self._import}
        with self.active():
            sys.modules[name] = module
            spec.loader.exec_module(module)
        return module

    def call(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Call a function; if it does not find a module of the folder, call it again while active.

        Unpickling needs that: it imports a module and then looks it up in `sys.modules`.
        """
        try:
            return function(*arguments)
        except (ModuleNotFoundError, KeyError) as error:
            if not self._has(_missed_module(error)):
                raise
        with self.active():
            return function(*arguments)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within the with block, let imports find this folder's modules first."""
        with _IMPORT_LOCK:
            if self._is_active:
                yield
                return
            hidden = self._enter()
            try:
                yield
            finally:
                self._leave(hidden)

    def _enter(self) -> dict[str, ModuleType]:
        hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if self._shadows(name)}
        sys.modules.update(self._modules)
        sys.path.insert(0, str(self._folder))
        self._is_active, self._writes_no_bytecode = True, sys.dont_write_bytecode
        # The folder is part of a published artifact, which must not change.
        sys.dont_write_bytecode = True
        return hidden

    def _leave(self, hidden: dict[str, ModuleType]) -> None:
        self._is_active, sys.dont_write_bytecode = False, self._writes_no_bytecode
        sys.path.remove(str(self._folder))
        sys.path_importer_cache.pop(str(self._folder), None)
        candidates = [name for name in list(sys.modules) if self._has(name)]
        own = [name for name in candidates if self._owns(sys.modules[name])]
        self._modules = {name: sys.modules.pop(name) for name in own}
        sys.modules.update(hidden)

    def _import(self, name: str, *arguments: Any, **options: Any) -> Any:
        with self.active() if self._has(name) else nullcontext():
            return builtins.__import__(name, *arguments, **options)

    def _has(self, module_name: str) -> bool:
        return module_name.partition(".")[0] in self._names

    def _shadows(self, module_name: str) -> bool:
        """Return whether a loaded module hides one of the folder; the standard library's stay."""
        name = module_name.partition(".")[0]
        own = self._folder / name
        return (
            name in self._names
            and name not in sys.stdlib_module_names
            and (own.with_suffix(".py").is_file() or (own / "__init__.py").is_file())
        )

    def _owns(self, module: ModuleType) -> bool:
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        return any(place and Path(place).is_relative_to(self._folder) for place in places)


def _missed_module(error: ModuleNotFoundError | KeyError) -> str:
    """Return the module an error is about; the C unpickler raises KeyError with its name."""
    if isinstance(error, ModuleNotFoundError):
        return error.name or ""
    return str(error.args[0]) if error.args else ""
