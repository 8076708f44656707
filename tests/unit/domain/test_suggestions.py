from modelyard.domain.suggestions import did_you_mean


def test_similar_name_is_suggested() -> None:
    assert did_you_mean("alow_code", ("path", "allow_code")) == " (did you mean 'allow_code'?)"
    assert did_you_mean("paylod", ("payload",), mark="`") == " (did you mean `payload`?)"


def test_nothing_is_suggested_when_nothing_is_similar() -> None:
    assert did_you_mean(7, ("path", "allow_code")) == ""
