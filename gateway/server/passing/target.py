"""Finds the backend of a request that passes through, and writes the path and query that the backend gets."""

from urllib.parse import parse_qsl, quote, unquote_to_bytes

from gateway.ask import ClientKey, Endpoint
from gateway.assembly.gateway import Gateway
from gateway.backends.routing.routes import check_model
from gateway.errors import KeyNotAllowed, NotFound
from gateway.exchange import Target
from gateway.ports import Passable
from gateway.records.object_owners import ObjectOwner
from gateway.server.passing.paths import UNNAMED, PathParts

OF_OPENAI = ("openai", "azure")
"""The kinds of backends with OpenAI's paths."""
NO_BACKEND = (
    "No backend serves this path. Name a model of a remote backend, or the path's backend in [routing.paths] of the "
    "gateway's configuration."
)
CREDENTIALS = frozenset((b"key", b"api_key", b"api-key", b"apikey", b"access_token"))
"""The fields of a query in which servers look for a key."""


class Targets:
    """Chooses the backend of each request."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._only = only_backend(gateway)

    def of(
        self, key: ClientKey, parts: PathParts, model: str, *, mapped: str, owner: ObjectOwner | None, must_name: bool
    ) -> Target:
        """Return the backend and its name for the model. Raises `NotFound`, or `KeyNotAllowed` for the model.

        `mapped` is the backend that the configuration names for the path. With `must_name`, a key that may use some
        models only must name one.
        """
        routes, backends = self._gateway.routes, self._gateway.backends
        if key.models and model:
            check_model(routes, key, model, Endpoint.OTHER)
        elif key.models and not parts.ids and parts.family not in UNNAMED and must_name:
            raise KeyNotAllowed(
                "This key may use some models only, so the request must name its model.",
                param="model",
                code="model_not_allowed",
            )
        target = routes.passing(model) if model else None
        if target is not None and not isinstance(backends.get(target.backend), Passable):
            target = None
        name = (owner.backend if owner else "") or mapped or (target.backend if target else "") or self._only
        if not isinstance(backends.get(name), Passable):
            raise NotFound(NO_BACKEND)
        same = target is not None and target.backend == name
        return target if same and target is not None else Target(name, model)


def only_backend(gateway: Gateway) -> str:
    """Return the only backend of kind `openai` or `azure`, or "" if there are none or several."""
    names = [name for name, table in gateway.settings.backends.items() if table.kind in OF_OPENAI]
    return names[0] if len(names) == 1 else ""


def place(raw_path: bytes, query: bytes, secret: bytes) -> bytes:
    """Return the path below /v1 and the query. The query's fields with a key are left out, and all others keep their
    bytes. `secret` is the client's key.
    """
    kept = [field for field in query.split(b"&") if field and not _is_credential(field, secret)]
    return raw_path.removeprefix(b"/v1") + (b"?" + b"&".join(kept) if kept else b"")


def _is_credential(field: bytes, secret: bytes) -> bool:
    name, _, value = field.partition(b"=")
    return unquote_to_bytes(name).lower() in CREDENTIALS or bool(secret and secret in unquote_to_bytes(value))


def queried(query: bytes) -> list[tuple[str, str]]:
    """Return the fields of a query."""
    return parse_qsl(query.decode("latin-1"))


def renamed(target: bytes, model: str) -> bytes:
    """Return a path and query whose field `model` is another name."""
    path, _, query = target.partition(b"?")
    fields = [
        b"model=" + quote(model, safe="").encode() if field.startswith(b"model=") else field
        for field in query.split(b"&")
    ]
    return path + b"?" + b"&".join(fields)
