"""Converts the errors of an engine to errors of the API."""

from msgspec import Struct

from gateway.errors import BackendFailed, BadRequest, ContextTooLong, NotReady, RequestError


class EngineFault(Struct):
    message: str = "the engine failed"
    code: int = 500
    type: str = ""
    n_prompt_tokens: int = 0
    n_ctx: int = 0


def refusal(error: Exception) -> RequestError:
    """Convert an exception that the engine raised before its first piece. The engine raises such an exception only for
    a bad request."""
    if isinstance(error, RequestError):
        return error
    return BadRequest(f"The engine refused this request: {error}")


def raised(fault: EngineFault, answer_tokens: int) -> RequestError:
    """Convert an error that the engine reports in a piece. `answer_tokens` is the number of tokens reserved for the
    answer."""
    if fault.type == "exceed_context_size_error":
        return ContextTooLong(fault.n_prompt_tokens, fault.n_ctx, answer_tokens)
    if fault.code == 503:
        return NotReady(fault.message, retry_after_s=1.0)
    if 400 <= fault.code < 500:
        return BadRequest(fault.message)
    return BackendFailed(f"The engine failed: {fault.message}")
