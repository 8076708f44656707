"""`python -m benchmarks.eviction`: how many calls find their model loaded, with memory for a tenth.

The model cache is the real one; only its models are empty. Beside it: the least recently used.
"""

import random
from collections import OrderedDict
from collections.abc import Sequence

from benchmarks.load import zipf
from modelyard.domain.system_clock import SystemClock
from modelyard.domain.values import ModelArtifact, ModelSource, TargetModel
from modelyard.inference.buffered_metrics import BufferedMetrics
from modelyard.inference.residence.model_cache import LoadedModel, ModelCache

MODELS, CALLS, SHIFT_EVERY = 500, 20_000, 2_000


class Empty:
    """A model of one byte."""

    memory_bytes = 1
    needs_files = False

    def close(self) -> None:
        """Do nothing."""


def main() -> None:
    """Print the table."""
    print(f"{MODELS} models, memory for {MODELS // 10}, {CALLS} calls; hits in percent")
    print("zipf  popularity            least recently used  modelyard")
    for exponent in (0.8, 1.0, 1.1, 1.2):
        steady = zipf.draw(MODELS, CALLS, exponent, seed=1)
        for label, calls in (("steady", steady), ("shifts every 2,000", _shifting(steady))):
            print(f"{exponent:<5} {label:<21} {_recent(calls):>19.1f} {_modelyard(calls):>10.1f}")


def _shifting(calls: Sequence[int]) -> list[int]:
    """Give a tenth of the models the popularity of another one, again and again."""
    dice, names = random.Random(2), list(range(MODELS))
    shifted = []
    for number, call in enumerate(calls):
        if number % SHIFT_EVERY == 0:
            for one in dice.sample(range(MODELS), MODELS // 10):
                other = dice.randrange(MODELS)
                names[one], names[other] = names[other], names[one]
        shifted.append(names[call])
    return shifted


def _recent(calls: Sequence[int]) -> float:
    places: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for call in calls:
        hits += call in places
        places[call] = None
        places.move_to_end(call)
        if len(places) > MODELS // 10:
            places.popitem(last=False)
    return 100 * hits / len(calls)


def _modelyard(calls: Sequence[int]) -> float:
    cache: ModelCache[Empty] = ModelCache(MODELS // 10, SystemClock(), BufferedMetrics())
    sources = [ModelSource("e", TargetModel(f"m{one}"), "memory:") for one in range(MODELS)]
    hits = 0
    for call in calls:
        source = sources[call]
        model = cache.lease(source)
        hits += model is not None
        if model is None:
            reservation = cache.reserve(source.model_id, 1, timeout_s=0)
            artifact = ModelArtifact("memory:", source.target_model, "1", 1)
            loaded = LoadedModel(source.model_id, artifact, Empty(), rules=source.rules)
            cache.put(loaded, reservation)
            cache.release(loaded)
            model = cache.lease(source)
        assert model is not None
        cache.release(model)
    return 100 * hits / len(calls)


if __name__ == "__main__":
    main()
