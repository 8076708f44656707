"""Choose the models of requests by the Zipf distribution: a few are popular."""

import bisect
import itertools
import random


def draw(models: int, count: int, exponent: float, seed: int) -> list[int]:
    """Return `count` numbers below `models`; equal seeds give equal numbers.

    The popularity of a model is independent of its number.
    """
    generator = random.Random(seed)
    weights = [1 / (rank + 1) ** exponent for rank in range(models)]
    upto = list(itertools.accumulate(weights))
    order = generator.sample(range(models), models)
    return [
        order[min(models - 1, bisect.bisect(upto, generator.random() * upto[-1]))]
        for _ in range(count)
    ]
