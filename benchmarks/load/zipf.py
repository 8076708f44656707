"""Whom requests are for when few models are popular: the Zipf distribution."""

import bisect
import itertools
import random


def draw(models: int, count: int, exponent: float, seed: int) -> list[int]:
    """Return `count` numbers below `models`; the same seed, the same numbers.

    Which models are popular does not follow their numbers.
    """
    generator = random.Random(seed)
    weights = [1 / (rank + 1) ** exponent for rank in range(models)]
    upto = list(itertools.accumulate(weights))
    order = generator.sample(range(models), models)
    return [
        order[min(models - 1, bisect.bisect(upto, generator.random() * upto[-1]))]
        for _ in range(count)
    ]
