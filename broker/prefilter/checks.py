"""Arithmetic that tells a real number from one that only looks like it.

A check takes the candidate text and returns how many of its characters are a match, 0 for none.
Knows: Luhn (ISO/IEC 7812-1), IBAN (ISO 13616, mod 97-10 of ISO 7064), SSA's unissued numbers, RFC 7519
headers. Must not know: patterns, offsets, policy.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from binascii import Error
from itertools import pairwise

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
# countries whose account part is digits alone, and AD, where its first eight are (SWIFT IBAN registry): no
# hash in hexadecimal, piece of a UUID or of base64 that begins like them is taken for an account
_ALL_DIGITS = frozenset(
    "NO BE DK FI FO GL SD SI AT BA EE LT XK HR CR DE ME RS AE IL CZ SK ES SE TN PT IS BI DJ TL HU PL".split()  # noqa: SIM905 - a list of codes
)
_LEADING_DIGITS = {"AD": 8}
# issuer prefixes (first, last), the lengths they issue, and those that they may but hardly do (ISO/IEC 7812):
# times in nanoseconds, identifiers that count up and codes of products have these, too
ISSUERS = (
    (("4", "4"), (13, 16, 19), ()),  # Visa
    (("51", "55"), (16,), ()),  # Mastercard
    (("2221", "2720"), (16,), ()),
    (("34", "34"), (15,), ()),  # American Express
    (("37", "37"), (15,), ()),
    (("6011", "6011"), (16, 19), (17, 18)),  # Discover
    (("644", "649"), (16, 19), (17, 18)),
    (("65", "65"), (16, 19), (17, 18)),
    (("300", "305"), (14, 16), ()),  # Diners Club
    (("36", "36"), (14, 16, 19), ()),
    (("38", "39"), (14, 16), ()),
    (("3528", "3589"), (16, 19), (17, 18)),  # JCB
    (("62", "62"), (16, 19), (17, 18)),  # UnionPay
    (("50", "50"), (16, 19), (13, 15, 18)),  # Maestro
    (("56", "58"), (16, 19), (13, 15, 18)),
    (("6304", "6304"), (16, 19), (18,)),
    (("6759", "6763"), (16, 19), (18,)),
)
_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")  # the digit sum of twice the digit
_KEY_PREFIX = re.compile(
    r"sk-(?:(?:proj|svcacct|service|admin|None)-|(?:[A-Za-z0-9]{2,10}-){0,2}(?=[A-Za-z0-9_]{20}))|sess-"
)
_KEY_WINDOW, _KEY_CHANGES = 20, 3  # random letters and digits change 8.5 times in 20; fewer than 3 in 0.2 %
_CARD_BEGINS = re.compile(r"(?:[0-9]{4}|[0-9]{6})[ -]|[0-9]{13}")  # as its first group is printed
_GROUP = 4  # characters, as cards and IBANs are printed
_EAN = 13  # digits
_DAY_FIRST = re.compile(
    r"30(?:0[1-9]|1[0-2])(?:19|20)[0-9]{2}(?:[01][0-9]|2[0-3])(?:[0-5][0-9]){2}"
)  # 14, as Diners
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
    """The longest beginning, whole groups only and as cards are printed, that is a number of a length its
    issuer uses; of one it hardly uses, or that is the code of a product, too, only in groups.

    >>> payment_card("4111 1111 1111 1111 12"), payment_card("41 11 1111 1111 1111")
    (19, 0)
    >>> payment_card("6456 9606 1000 0008 96"), payment_card("645696061000000896")
    (22, 0)
    """
    if not _CARD_BEGINS.match(candidate):  # most of a table of numbers ends here
        return 0
    for end in _group_ends(candidate):
        number = candidate[:end].replace(" ", "").replace("-", "")
        if _is_card(number, candidate[:end]) and luhn(number) and _is_printed(candidate[:end]):
            return end
    return 0


def _is_card(number: str, written: str) -> bool:
    """Whether its issuer has cards of this length; a rare one, a time, a product's code only in groups."""
    issued, rare = _lengths(number)
    if number != written:
        return len(number) in issued or len(number) in rare
    return len(number) in issued and not _is_product(number) and not _DAY_FIRST.fullmatch(number)


def _lengths(number: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    found = ((often, rare) for (first, last), often, rare in ISSUERS if first <= number[: len(first)] <= last)
    return next(found, ((), ()))


def _is_product(number: str) -> bool:
    """Whether it is a right EAN-13, the code below a product's bars (GS1 General Specifications, 7.9)."""
    return len(number) == _EAN and (sum(map(int, number[::2])) + 3 * sum(map(int, number[1::2]))) % 10 == 0


def _group_ends(candidate: str) -> list[int]:
    """Where groups of digits end, the last first."""
    ends = [place for place, character in enumerate(candidate) if character in " -"]
    return [len(candidate), *reversed(ends)]


def _is_printed(number: str) -> bool:
    """In one piece, or grouped as on cards: by four with a shorter last group, 4-6-4, 4-6-5 or 6-13, and
    one separator all through.
    """
    groups = tuple(map(len, number.replace("-", " ").split(" ")))
    if len(groups) == 1:
        return True
    if " " in number and "-" in number:
        return False
    by_four = all(size == _GROUP for size in groups[:-1]) and groups[-1] <= _GROUP
    return by_four or groups in ((4, 6, 4), (4, 6, 5), (6, 13))


def iban(candidate: str) -> int:
    """The beginning that has its country's length, characters and check digits, in one piece or in groups
    of four (ISO 13616).

    >>> iban("GB82 WEST 1234 5698 7654 32 or"), iban("GB83 WEST 1234 5698 7654 32")
    (27, 0)
    >>> iban("be97-ba94-d0ed-482f")
    0
    """
    country = candidate[:2].upper()
    length = _IBAN_LENGTHS.get(country, 0)
    if not length:
        return 0
    separator = candidate[4:5] if candidate[4:5] in (" ", "-") else ""
    end = length + (len(separator) and (length - 1) // _GROUP)
    written = candidate[:end]
    account = written.replace(separator, "") if separator else written
    if len(written) < end or written != _grouped(account, separator):
        return 0
    return end if _is_account(country, account[4:]) and _mod_97(account) == 1 else 0


def _grouped(account: str, separator: str) -> str:
    if not separator:
        return account
    return separator.join(account[place : place + _GROUP] for place in range(0, len(account), _GROUP))


def _is_account(country: str, account: str) -> bool:
    """Whether the country writes its accounts so; letters are all of one case."""
    if not account.isalnum() or not (account.upper() == account or account.lower() == account):
        return False
    if country in _ALL_DIGITS:
        return account.isdigit()
    leading = account[: _LEADING_DIGITS.get(country, 0)]
    return not leading or leading.isdigit()


def _mod_97(account: str) -> int:
    """ISO 7064 mod 97-10 of the account with its first four characters last, letters as 10 to 35."""
    return int("".join(str(int(character, 36)) for character in account[4:] + account[:4])) % 97


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


def openai_key(candidate: str) -> int:
    """What follows the prefix changes between small, capital and digit as a random key does. Names
    (`sk-2041-rewrite_invoice_totals_page`) go on in words and numbers.

    >>> openai_key("sk-proj-aB3daB3daB3daB3daB3d") > 0, openai_key("sk-2041-rewrite_invoice_totals_page")
    (True, 0)
    """
    prefix = _KEY_PREFIX.match(candidate)
    body = candidate[prefix.end() :] if prefix else candidate
    changes = sum(map(_changes, pairwise(body[:_KEY_WINDOW])))
    return len(candidate) if changes >= _KEY_CHANGES else 0


def _changes(pair: tuple[str, str]) -> bool:
    """From letter to digit or back, or from small to capital (a capitalised word begins the other way)."""
    first, second = pair
    if not (first.isalnum() and second.isalnum()):
        return False
    return first.isdigit() != second.isdigit() or (first.islower() and second.isupper())


def github_token(candidate: str) -> int:
    """A fine-grained token has digits within its first 22 characters; a name of words has none."""
    body = candidate.removeprefix("github_pat_")
    return len(candidate) if body == candidate or any(map(str.isdigit, body[:22])) else 0


def slack_token(candidate: str) -> int:
    """A token has digits within its first 10 characters; a name of words (`xapp-installation-guide`) none."""
    kind, dash, body = candidate.partition("-")
    hook = "/" in kind or not dash
    return len(candidate) if hook or any(map(str.isdigit, body[:10])) else 0
