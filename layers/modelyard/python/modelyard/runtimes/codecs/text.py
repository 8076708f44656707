"""Bodies that are text."""

from modelyard.domain.errors import InputRejectedError


def decode(body: bytes) -> str:
    """Return a UTF-8 body as text, without a byte order mark.

    Raises:
        InputRejectedError: it is not UTF-8, with the position.
    """
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputRejectedError(f"the body is not UTF-8 at byte {error.start}") from error


def lines(content: str) -> list[str]:
    """Return the lines of a text; only CR, LF and CRLF end a line.

    `str.splitlines` also breaks at form feeds and other characters where no other reader does.
    """
    return content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
