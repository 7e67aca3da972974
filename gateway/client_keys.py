"""Hashes client keys, and checks that nobody can guess them."""

import hashlib
from collections.abc import Container, Mapping
from functools import cache
from itertools import product
from string import printable

from gateway.errors import Problem
from gateway.settings.keys import AccessKey

SHORTEST = 6
"""The minimum length of a secret. A shorter secret can be found by trying all combinations."""
BLANKS = ("\n", "\r\n")
REMEDY = "Draw one with: openssl rand -hex 24"


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def digest_of(key: AccessKey) -> str:
    """Return the SHA-256 digest of a client's key. Only digests are compared."""
    return key.sha256.lower() if key.sha256 else hashed(key.secret.strip())


def key_problems(file: str, keys: Mapping[str, AccessKey], broken: Container[str] = ()) -> list[Problem]:
    """Return the mistakes in keys: no name, no secret, two secrets in one key, a weak secret, or a secret that two keys
    share.

    `broken` holds the names of tables with known mistakes. A missing secret in such a table is not reported.
    """
    problems: list[Problem] = []
    owners: dict[str, str] = {}
    guessed = _guessed()
    for name, key in keys.items():
        where = f"{file} [keys.{name}]" if name.strip() else f'{file} [keys."{name}"]'
        if not name.strip():
            problems.append(Problem(where, "a key needs a name", "Records, limits and vector stores refer to it."))
        if f"keys.{name}" not in broken:
            problems += _secret_problems(where, key, guessed)
        if bool(key.secret) == bool(key.sha256):
            continue
        digest = digest_of(key)
        if digest in owners:
            what = f"has the same secret as [keys.{owners[digest]}], so one of the two keys would never be used"
            problems.append(Problem(where, what, "Give each key a secret of its own."))
        owners.setdefault(digest, name)
    return problems


def _secret_problems(where: str, key: AccessKey, guessed: Mapping[str, str]) -> list[Problem]:
    if bool(key.secret) == bool(key.sha256):
        return [Problem(where, "needs either sha256 or secret")]
    if key.sha256.lower() in guessed:
        secret = guessed[key.sha256.lower()]
        what = "nothing: the variable was empty" if not secret.strip() else f"{secret!r}"
        return [Problem(f"{where} sha256", f"is the hash of {what}", REMEDY)]
    if key.secret and len(key.secret.strip()) < SHORTEST:
        return [Problem(f"{where} secret", f"has fewer than {SHORTEST} characters", REMEDY)]
    return []


@cache
def _guessed() -> Mapping[str, str]:
    """Return texts that people hash by mistake in a shell, by their digests: the empty text, a line break, one or two
    characters. They are hashed once: that takes 20 ms.
    """
    short = ("".join(pair) for pair in product(printable, repeat=2))
    return {hashed(secret): secret for secret in ["", *BLANKS, *printable, *short]}
