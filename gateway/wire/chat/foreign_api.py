"""An API to which chat completion requests are translated: what it lacks, and how the client is told."""

from collections.abc import Collection, Mapping

from msgspec import Raw, Struct

from gateway.errors import BadRequest
from gateway.wire.json_fields import NULL

WITHOUT_EFFECT = (NULL, b"[]", b"{}", b"0", b"0.0", b"false", b'"auto"')
"""Values with which any unsupported field is accepted."""


class ForeignApi(Struct, frozen=True):
    """An API by its name in sentences, such as `Gemini's API`. `why` says why the request is sent to it."""

    name: str
    why: str

    def fields_left_out(
        self,
        given: Mapping[str, Raw],
        refused: Mapping[str, str],
        harmless: Mapping[str, bytes],
        left_out: Collection[str],
    ) -> list[str]:
        """Return the given fields that are left out. Raises `BadRequest` for a field in `refused`, with its remedy.

        `harmless` has the value, if any, with which a refused field is accepted, since it has no effect.
        """
        for name, value in given.items():
            if name in refused and bytes(value) not in (*WITHOUT_EFFECT, harmless.get(name)):
                raise BadRequest(
                    f"Unsupported parameter: {self.name} has no '{name}'. {refused[name]} {self.why}",
                    param=name,
                    code="unsupported_parameter",
                )
        return [name for name, value in given.items() if name in left_out and bytes(value) not in WITHOUT_EFFECT]

    def unsupported(self, param: str, value: str, known: str) -> BadRequest:
        """Return the error for a value that the API does not take. `known` says what it takes."""
        return BadRequest(
            f"Unsupported value: '{param}' is {value!r}, and {self.name} takes {known}. {self.why}",
            param=param,
            code="unsupported_value",
        )
