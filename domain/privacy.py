"""What may be shown of personal data, and how it is kept out of texts that nobody watches over, such as logs.

Masks keep what people compare by and no more: of a card the issuer and the last four digits, of an identity number the
region and the check digit, of a phone its network and the last four digits, of a name the first character.
"""

import re
from collections.abc import Callable

from domain.identifiers import luhn_digit

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECK = "10X98765432"

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL)
_TOKEN = re.compile(r"\b(whsec_|pdk_)[A-Za-z0-9+/=_-]{6,}")
# Numbers stand for themselves: within a longer one, such as that of an attempt, they mean something else.
_IDENTITY = re.compile(r"(?<![0-9A-Za-z])[1-9]\d{5}(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?![0-9A-Za-z])")
_CARD = re.compile(r"(?<![0-9A-Za-z])[2-9]\d{3}(?:[ -]?\d{4}){2,3}(?:[ -]?\d{1,4})?(?![0-9A-Za-z])")
_PHONE = re.compile(r"(?<![0-9A-Za-z])1[3-9]\d{9}(?![0-9A-Za-z])")
_CARD_LENGTHS = range(15, 20)


def mask_card(card_no: str) -> str:
    """Return e.g. `6222 **** **** 0006`."""
    return f"{card_no[:4]} **** **** {card_no[-4:]}" if card_no else ""


def mask_id(id_no: str) -> str:
    """Return e.g. `110***********002X`."""
    return f"{id_no[:3]}{'*' * (len(id_no) - 7)}{id_no[-4:]}" if id_no else ""


def mask_phone(phone_no: str) -> str:
    """Return e.g. `138****0000`."""
    return f"{phone_no[:3]}****{phone_no[-4:]}" if phone_no else ""


def mask_name(name: str) -> str:
    """Return e.g. `张*`."""
    return f"{name[0]}*" if name else ""


def is_card(digits: str) -> bool:
    """Tell whether digits have the length and the check digit of a card."""
    return len(digits) in _CARD_LENGTHS and digits.isdecimal() and luhn_digit(digits[:-1]) == digits[-1]


def is_identity(text: str) -> bool:
    """Tell whether a text is an identity number of mainland China: its form, a date, and the check digit."""
    if not _IDENTITY.fullmatch(text):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text[:17], _ID_WEIGHTS, strict=True))
    return _ID_CHECK[total % 11] == text[17].upper()


def is_phone(text: str) -> bool:
    """Tell whether a text has the form of a mobile number of mainland China."""
    return _PHONE.fullmatch(text) is not None


def scrub(text: str) -> str:
    """Return a text without keys, and with personal numbers masked."""
    if "-----BEGIN" in text:
        text = _PEM.sub("[PEM]", text)
    if "whsec_" in text or "pdk_" in text:
        text = _TOKEN.sub(r"\1***", text)
    text = _IDENTITY.sub(_masked(is_identity, mask_id), text)
    text = _CARD.sub(_masked(lambda found: is_card(_bare(found)), lambda found: mask_card(_bare(found))), text)
    return _PHONE.sub(lambda found: mask_phone(found[0]), text)


def _masked(is_one: Callable[[str], bool], mask: Callable[[str], str]) -> Callable[[re.Match[str]], str]:
    return lambda found: mask(found[0]) if is_one(found[0]) else found[0]


def _bare(text: str) -> str:
    return text.replace(" ", "").replace("-", "")
