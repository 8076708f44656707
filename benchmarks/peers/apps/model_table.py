"""A hand-written dictionary of models that removes the least recently used one."""

from collections import OrderedDict
from pathlib import Path

from hand_written import Predict, load


class ModelTable:
    """The models of a folder, loaded at first use; for one thread."""

    def __init__(self, folder: Path, capacity: int) -> None:
        self._folder = folder
        self._capacity = capacity
        self._models: OrderedDict[str, Predict] = OrderedDict()
        self.hits = self.misses = 0

    def find(self, name: str) -> Predict:
        """Return the model and mark it as most recently used."""
        model = self._models.get(name)
        if model is not None:
            self.hits += 1
            self._models.move_to_end(name)
            return model
        self.misses += 1
        while len(self._models) >= self._capacity:
            self._models.popitem(last=False)
        model = self._models[name] = load(self._folder / name)
        return model
