"""What the supervisor and a worker send each other about a connection: its number.

The supervisor sends it together with the descriptor; the worker sends it back when the connection
has ended, or when it could not be taken.
"""

NUMBER_BYTES = 4
NOT_TAKEN = 1 << 31
"""Added to the number of a connection for which the worker had no descriptor left."""


def to_bytes(number: int) -> bytes:
    """Return the message with a number."""
    return number.to_bytes(NUMBER_BYTES, "big")
