import pytest

from modelyard.local.emulation.control_plane import Refusal, function_name


@pytest.mark.parametrize(
    "text",
    [
        "housing-0",
        "housing-0:live",
        "housing-0:$LATEST",
        "123456789012:function:housing-0",
        "arn:aws:lambda:eu-west-1:123456789012:function:housing-0",
        "arn:aws:lambda:eu-west-1:123456789012:function:housing-0:live",
    ],
)
def test_name_is_found_in_every_form(text: str) -> None:
    assert function_name(text) == "housing-0"


@pytest.mark.parametrize("text", ["", "a b", "arn:aws:s3:::bucket", "a:b:c"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        function_name(text)
