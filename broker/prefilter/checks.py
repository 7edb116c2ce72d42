"""Arithmetic that tells a real number from one that only looks like it.

A check takes the candidate text and returns how many of its characters are a match, 0 for none.
Knows: Luhn (ISO/IEC 7812-1), IBAN (ISO 13616, mod 97-10 of ISO 7064), SSA's unissued numbers, RFC 7519
headers. Must not know: patterns, offsets, policy.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from binascii import Error

# SWIFT IBAN registry: length → countries
_IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_IBAN_LENGTHS = {country: size for size, listed in _IBAN_COUNTRIES.items() for country in listed.split()}
# issuer prefixes (first, last) and the lengths they issue
_ISSUERS = (
    (("4", "4"), (13, 16, 19)),  # Visa
    (("51", "55"), (16,)),  # Mastercard
    (("2221", "2720"), (16,)),
    (("34", "34"), (15,)),  # American Express
    (("37", "37"), (15,)),
    (("6011", "6011"), (16, 17, 18, 19)),  # Discover
    (("644", "649"), (16, 17, 18, 19)),
    (("65", "65"), (16, 17, 18, 19)),
    (("300", "305"), (14, 16)),  # Diners Club
    (("36", "36"), (14, 16, 19)),
    (("38", "39"), (14, 16)),
    (("3528", "3589"), (16, 17, 18, 19)),  # JCB
    (("62", "62"), (16, 17, 18, 19)),  # UnionPay
    (("50", "50"), (13, 15, 16, 18, 19)),  # Maestro
    (("56", "58"), (13, 15, 16, 18, 19)),
    (("6304", "6304"), (16, 18, 19)),
    (("6759", "6763"), (16, 18, 19)),
)
_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")  # the digit sum of twice the digit
_MAX_PHONE, _MIN_PHONE = 15, 8  # ITU-T E.164


def whole(candidate: str) -> int:
    """The pattern alone decides."""
    return len(candidate)


def luhn(number: str) -> bool:
    """Whether the last digit is the right check digit (ISO/IEC 7812-1 annex B).

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    codes = number.encode("ascii")
    return (sum(codes[-1::-2]) + sum(codes[-2::-2].translate(_DOUBLED)) - len(codes) * ord("0")) % 10 == 0


def payment_card(candidate: str) -> int:
    """The longest beginning, whole groups only, that is a number of a length its issuer uses."""
    number = candidate.replace(" ", "").replace("-", "")
    lengths = next((sizes for (first, last), sizes in _ISSUERS if first <= number[: len(first)] <= last), ())
    for size in reversed(lengths):
        if size <= len(number) and luhn(number[:size]):
            end = _after(candidate, size)
            if not candidate[end : end + 1].isdigit():
                return end
    return 0


def _after(candidate: str, count: int) -> int:
    """The place after the `count`th letter or digit."""
    for place, character in enumerate(candidate):
        count -= character.isalnum()
        if count == 0:
            return place + 1
    return len(candidate)


def iban(candidate: str) -> int:
    """The beginning that has its country's length and the right check digits (ISO 13616).

    >>> iban("GB82 WEST 1234 5698 7654 32 or"), iban("GB83 WEST 1234 5698 7654 32")
    (27, 0)
    """
    account = candidate.replace(" ", "").replace("-", "").upper()
    length = _IBAN_LENGTHS.get(account[:2], 0)
    if not length or len(account) < length:
        return 0
    account = account[:length]
    number = int("".join(str(int(character, 36)) for character in account[4:] + account[:4]))
    return _after(candidate, length) if number % 97 == 1 else 0


def us_ssn(candidate: str) -> int:
    """Areas 000, 666 and 900-999, group 00 and serial 0000 are never issued (SSA POMS RM 10201.035)."""
    area, group, serial = candidate[:3], candidate[4:6], candidate[7:]
    issued = area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"
    return len(candidate) if issued and candidate[3] == candidate[6] else 0


def phone(candidate: str) -> int:
    """Eight to fifteen digits (E.164)."""
    count = sum(map(str.isdigit, candidate))
    return len(candidate) if _MIN_PHONE <= count <= _MAX_PHONE else 0


def jwt(candidate: str) -> int:
    """The part before the first dot is base64url of a JSON object with `alg` (RFC 7515 section 4.1.1).

    >>> jwt("eyJhbGciOiJub25lIn0.e30."), jwt("eyJub3QiOiJhIGp3dCJ9.e30.")
    (24, 0)
    """
    head = candidate.partition(".")[0]
    try:
        header = json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (Error, ValueError, RecursionError):
        return 0
    return len(candidate) if isinstance(header, dict) and isinstance(header.get("alg"), str) else 0


def mixed(candidate: str) -> int:
    """Its last 40 characters hold lower case, upper case and digits: a hash in hexadecimal does not."""
    secret = candidate[-40:]
    kinds = (str.islower, str.isupper, str.isdigit)
    return len(candidate) if all(any(map(kind, secret)) for kind in kinds) else 0
