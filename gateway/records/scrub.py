"""Removes secrets and personal data from a text before it leaves the records. Equal texts stay equal.

The rules recognise fixed forms, such as addresses, numbers and keys. They do not recognise names or stories about
people. A dataset of users' texts is therefore still personal data; protect it like the records.
"""

import re
from collections import Counter
from collections.abc import Callable

from msgspec import Struct


class ScrubRule(Struct, frozen=True):
    """Replaces each match of a pattern by `<name>`. `holds` can reject a match, by a check that a pattern cannot
    express."""

    name: str
    pattern: re.Pattern[str]
    holds: Callable[[str], bool] = lambda _: True
    marks: str = ""
    """Every match contains at least one of these characters, so texts without any of them are skipped."""


def luhn(number: str) -> bool:
    """Return whether a payment card number has the right check digit (ISO/IEC 7812)."""
    digits = [int(digit) for digit in number if digit.isdigit()]
    doubled = [2 * digit - 9 * (digit > 4) if index % 2 else digit for index, digit in enumerate(reversed(digits))]
    return len(digits) >= 13 and len(set(digits)) > 1 and sum(doubled) % 10 == 0


def iban(text: str) -> bool:
    """Return whether an international bank account number (IBAN) has the right check digits (ISO 13616)."""
    plain = re.sub(r"\s", "", text).upper()
    turned = plain[4:] + plain[:4]
    return len(plain) >= 15 and int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def chinese_id(text: str) -> bool:
    """Return whether a Chinese resident identity number has the right check character (GB 11643)."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(weight * int(digit) for weight, digit in zip(weights, text[:17], strict=True))
    return "10X98765432"[total % 11] == text[17].upper()


_DIGIT = "0123456789"
RULES = (
    ScrubRule(
        "private key",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        marks="-",
    ),
    ScrubRule("token", re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}", re.ASCII), marks="."),
    ScrubRule(
        "api key",
        re.compile(
            r"\b(?:sk-[\w-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_\w{30,}|github_pat_\w{40,}|xox[abprs]-[\w-]{10,}"
            r"|AIza[\w-]{35}|glpat-[\w-]{20,}|hf_\w{30,}|[sr]k_(?:live|test)_\w{16,})",
            re.ASCII,
        ),
        marks="-_AI",
    ),
    ScrubRule("bearer", re.compile(r"(?i)(?<=\bbearer )[\w.~+/=-]{16,}"), marks="rR"),
    ScrubRule(
        "password",
        re.compile(
            r"(?i)(?:(?<=password)|(?<=passwd)|(?<=secret)|(?<=api_key)|(?<=apikey)|(?<=密码))"
            r"(?:\s*(?:[:=：]|\bis\b|是)\s*)[\"']?[^\s\"',;]{4,}"
        ),
        marks=":=：是sS",
    ),
    ScrubRule("email", re.compile(r"\b[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+", re.ASCII), marks="@"),
    ScrubRule("url with password", re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/@]+@[^\s]+"), marks="@"),
    ScrubRule(
        "iban", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", re.ASCII), iban, _DIGIT
    ),
    ScrubRule("id number", re.compile(r"(?<!\d)[1-9]\d{5}(?:19|20)\d{9}[\dXx](?![\dA-Za-z])"), chinese_id, _DIGIT),
    ScrubRule("card", re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.])"), luhn, _DIGIT),
    ScrubRule(
        "social security number", re.compile(r"(?<!\d)(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?!\d)"), marks="-"
    ),
    ScrubRule(
        "phone",
        re.compile(
            r"(?<![\w.])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{2,4}(?:[ .-]?\d{2,4}){1,4}"
            r"|\(\d{3}\) ?\d{3}[ .-]\d{4}"
            r"|\d{3}[.-]\d{3}[.-]\d{4}|1[3-9]\d{9})(?![\w])",
            re.ASCII,
        ),
        marks=_DIGIT,
    ),
    ScrubRule(
        "ip address",
        re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?!\w|\.\d)", re.ASCII),
        marks=".",
    ),
)


def scrubbed(text: str, taken: Counter[str] | None = None) -> str:
    """Replace each secret and each piece of personal data by `<email>`, `<card>` and so on. `taken` counts the
    replacements of each rule."""
    letters = set(text)
    for rule in RULES:
        if rule.marks and letters.isdisjoint(rule.marks):
            continue
        text = _without(rule, text, taken)
    return text


def _without(rule: ScrubRule, text: str, taken: Counter[str] | None) -> str:
    def replaced(match: re.Match[str]) -> str:
        if not rule.holds(match[0]):
            return match[0]
        if taken is not None:
            taken[rule.name] += 1
        return f"<{rule.name}>"

    return rule.pattern.sub(replaced, text)
