from modelyard.domain.endpoints import SplitTarget, Splitter

SPLITTER = Splitter(
    "split",
    "/split",
    (SplitTarget("a", 20), SplitTarget("copy", 30, shadow=True), SplitTarget("b", 80)),
)


def test_calls_are_divided_by_weight() -> None:
    chosen = [SPLITTER.choose(number / 1000) for number in range(1000)]

    assert chosen == ["a"] * 200 + ["b"] * 800


def test_an_api_of_weight_zero_gets_no_call() -> None:
    splitter = Splitter("split", "/split", (SplitTarget("a", 0), SplitTarget("b", 100)))

    assert splitter.choose(0.0) == "b"


def test_a_shadow_gets_copies_of_its_percentage_of_the_calls() -> None:
    copied = [SPLITTER.shadows(number / 100) for number in range(100)]

    assert copied == [("copy",)] * 30 + [()] * 70
