"""`POST /v1/foreword/reload`: replaces the configuration while the gateway serves."""

from litestar import Response, post

from gateway.errors import BadRequest, KeyNotAllowed, NotFound, RequestError
from gateway.server.handlers import AnyRequest, Caller, Shared, admin_only, json_of


class ReloadReplaced(RequestError):
    """Another change of the configuration, or the end of the server, came first."""

    status = 409
    type = "invalid_request_error"
    code = "config_replaced"


class ReloadFailed(RequestError):
    """The configuration has no mistakes, but the workers that were started with it failed."""

    status = 409
    type = "invalid_request_error"
    code = "config_failed"


@post("/v1/foreword/reload", status_code=200, summary="Take another configuration", tags=["Foreword"])
async def reload_config(request: AnyRequest, gateway: Shared, key: Caller) -> Response[bytes]:
    """The body is a whole configuration in TOML. Without a body, the configuration file is read again. Only for admin
    keys.

    The answer comes when all workers have the new configuration. Running requests are finished. A configuration with
    mistakes is refused with a 400, which lists all of them, and the current one stays in use.
    """
    admin_only(key, "change the configuration")
    body = await request.body()
    if body and not gateway.settings.keys:
        raise KeyNotAllowed(
            "This gateway has no keys, so it takes its configuration from the file alone. Add a [keys.name] table with "
            "admin = true, or send no body, and the file is read again."
        )
    if gateway.reload_config is None:
        raise NotFound("This gateway was not started by `foreword serve`, which alone can replace a configuration.")
    outcome = await gateway.reload_config(_text(body) if body else None)
    match outcome.result:
        case "mistakes":
            raise BadRequest(f"The configuration is refused:\n{outcome.text}", code="config_refused")
        case "failed":
            raise ReloadFailed(f"The configuration cannot be used, and the current one stays: {outcome.text}")
        case "replaced":
            raise ReloadReplaced(outcome.text)
    done = {"status": "in use", "workers": outcome.workers, "took_s": round(outcome.took_s, 3)}
    answer = json_of({**done, "needs_restart": outcome.needs_restart})
    answer.headers["connection"] = "close"  # this worker ends, and the client's next request must go to a new one
    return answer


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(f"The configuration is not UTF-8: {error.reason} at byte {error.start}.") from None
