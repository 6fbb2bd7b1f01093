"""Page sizes and page tokens, the same for every list."""

import base64
import binascii

from domain.refusals import Refused, Violation, invalid
from storage.queries import PAGE_SIZE, PAGE_SIZE_MAX

_MARK = "v1:"


def size(page_size: int) -> int:
    """Return how many rows a page has. Raise Refused for a negative size; more than the most is the most."""
    if page_size < 0:
        raise Refused(invalid(Violation("page_size", "must not be negative")))
    return min(page_size or PAGE_SIZE, PAGE_SIZE_MAX)


def token(last_key: str) -> str:
    """Return the token of the page after the row with this key."""
    return base64.urlsafe_b64encode((_MARK + last_key).encode()).decode()


def key_of(page_token: str) -> str:
    """Return the key in a token, "" for none. Raise Refused for a token that we did not give."""
    if not page_token:
        return ""
    try:
        text = base64.urlsafe_b64decode(page_token.encode()).decode()
    except (ValueError, binascii.Error) as error:
        raise Refused(invalid(Violation("page_token", "is not a token of this list"))) from error
    if not text.startswith(_MARK) or len(text) > 128 or not text.isprintable():
        raise Refused(invalid(Violation("page_token", "is not a token of this list")))
    return text[len(_MARK) :]
