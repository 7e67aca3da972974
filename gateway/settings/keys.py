"""The tables `[keys.x]`: the clients and their rights."""

from msgspec import Struct

from gateway.ask import Mode
from gateway.settings.numbers import Amount, Digest, Share


class AccessKey(Struct, frozen=True, forbid_unknown_fields=True):
    """`[keys.name]`: a client key. Clients send it as `Authorization: Bearer ...`."""

    secret: str = ""
    """The key itself. `env:NAME` reads it from the environment. Prefer `sha256`, so that the file holds no secret."""
    sha256: Digest = ""
    """The key's SHA-256 in hex: `printf %s "$KEY" | sha256sum`."""
    mode: Mode = Mode.ON
    """The highest mode that requests with this key can use."""
    canary: Share = 1.0
    """The share of this key's conversations that are rewritten in the modes `proven` and `on`. The others are
    controls."""
    models: tuple[str, ...] = ()
    """The models that this key may use; a `*` at the end matches any rest. Default: all."""
    collections: tuple[str, ...] = ()
    """The collections that this key may name. Default: all."""
    requests_per_minute: Amount = 0
    """The most requests per minute; 0: no limit."""
    websockets: Amount = 0
    """The most WebSockets that are open at the same time, per worker; 0: no limit."""
    record: str = ""
    """How much of an exchange with this key is recorded: `full`, `hashed` or `none`. Default: `[records] policy`."""
    admin: bool = False
    """Whether the key may read the exchanges, files and stores of all keys, change templates and found prompts, delete
    models and variants, and use the objects that backends store."""
