"""API keys: create, parse, verify and store them. Only a hash of the secret is stored."""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from modelyard.domain.errors import AccessDeniedError, ConfigurationError
from modelyard.domain.values import StoredKey

HEADER = b"x-api-key"
ATTRIBUTES_HEADER = b"x-amzn-sagemaker-custom-attributes"
NAME_FORMS = "1 to 64 letters, digits, '.', '_' and '-'"
_PREFIX = "myk_"
_KEY = re.compile(r"myk_(?P<key_id>[0-9a-f]{12})_(?P<secret>[0-9a-f]{64})")
_KEY_ID = re.compile(r"[0-9a-f]{12}")
_NAME = re.compile(r"[a-zA-Z0-9._-]{1,64}")
_NOT_VALID = "the key is not valid"
_UNKNOWN_KEY_DIGEST = "0" * 64

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Key:
    """An API key with its secret. It is never logged and never stored."""

    key_id: str
    secret: str

    def __repr__(self) -> str:
        return f"Key({self.key_id!r})"

    @property
    def text(self) -> str:
        """The key as callers send it."""
        return f"{_PREFIX}{self.key_id}_{self.secret}"

    @property
    def digest(self) -> str:
        """The SHA-256 of the secret. A random secret of 32 bytes needs no slow hash."""
        return hashlib.sha256(self.secret.encode()).hexdigest()


def issue(name: str, now: float, lifetime_s: float | None = None) -> tuple[Key, StoredKey]:
    """Return a new key and the record to store for it. Times are seconds since the epoch.

    Raises:
        ConfigurationError: the name is not one of `NAME_FORMS`.
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(f"found the name {name!r}; allowed: {NAME_FORMS}")
    key = Key(secrets.token_hex(6), secrets.token_hex(32))
    expires_at = None if lifetime_s is None else now + lifetime_s
    return key, StoredKey(key.key_id, name, key.digest, now, expires_at)


def parse_key(text: str) -> Key:
    """Return the key in a text that a caller sent.

    Raises:
        AccessDeniedError: the text does not have the form of a key.
    """
    match = _KEY.fullmatch(text)
    if match is None:
        raise AccessDeniedError(_NOT_VALID)
    return Key(**match.groupdict())


def is_key_id(text: str) -> bool:
    """Return whether a text has the form of a key id; such a text is safe in a path."""
    return _KEY_ID.fullmatch(text) is not None


def verify(key: Key, stored: StoredKey | None, now: float) -> str:
    """Return the name of a key that matches its record and has not expired.

    Raises:
        AccessDeniedError: the key is unknown, wrong or expired. Message and time are the same for
            all three, so that callers cannot tell which.
    """
    is_right = hmac.compare_digest(key.digest, stored.digest if stored else _UNKNOWN_KEY_DIGEST)
    is_current = stored is not None and (stored.expires_at is None or now < stored.expires_at)
    if stored is None or not is_right or not is_current:
        raise AccessDeniedError(_NOT_VALID)
    return stored.name


def split_key(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str | None, Headers]:
    """Return the text that was sent as a key, or None, and the headers without it.

    A key in `x-api-key` wins over one at the start of the custom attributes. Custom attributes keep
    the text after the key and a comma. Every text that starts like a key is removed, also an
    invalid one: it may be a real key with a typing error.
    """
    in_header: str | None = None
    in_attributes: str | None = None
    kept: Headers = []
    for name, value in headers:
        if name.lower() not in (HEADER, ATTRIBUTES_HEADER):
            kept.append((name, value))
            continue
        text = value.decode("latin-1").strip()
        if not text.startswith(_PREFIX):
            kept.append((name, value))
        elif name.lower() == HEADER:
            in_header = in_header or text
        else:
            sent, _, rest = text.partition(",")
            in_attributes = in_attributes or sent.strip()
            kept += [(name, rest.strip().encode("latin-1"))] if rest.strip() else []
    return in_header or in_attributes, kept


def render_stored(stored: StoredKey) -> str:
    """Return the record of a key as JSON, without the id."""
    record = {
        "name": stored.name,
        "sha256": stored.digest,
        "created": render_moment(stored.created_at),
    }
    if stored.expires_at is not None:
        record["expires"] = render_moment(stored.expires_at)
    return json.dumps(record)


def parse_stored(key_id: str, text: str) -> StoredKey:
    """Return the record in a JSON text made by `render_stored`; times are whole seconds.

    Raises:
        ConfigurationError: the text is something else.
    """
    try:
        record = json.loads(text)
        expires = record.get("expires")
        return StoredKey(
            key_id,
            str(record["name"]),
            str(record["sha256"]),
            _parse_moment(record["created"]),
            None if expires is None else _parse_moment(expires),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(f"the stored key {key_id} cannot be read: {error!r}") from error


def render_moment(moment: float) -> str:
    """Return a time (seconds since the epoch) as ISO 8601 in whole seconds."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _parse_moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
