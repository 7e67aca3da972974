"""Lists, shows and removes the variants of local models over HTTP."""

import asyncio

from litestar import Response, delete, get

from gateway.backends.local import variants
from gateway.backends.local.variants import NoSuchVariant, VariantInUse
from gateway.errors import BadRequest, NotFound
from gateway.server.handlers import Caller, PathText, Shared, admin_only, json_of


@get("/v1/foreword/engines/variants", summary="The variants of local models", tags=["Foreword"])
async def list_variants(gateway: Shared, key: Caller) -> Response[bytes]:
    """The manifest of each variant: source, scheme, perplexity before and after, bytes, speeds. Only for admin keys."""
    admin_only(key, "list variants")
    data = gateway.settings.data_folder
    stored = await asyncio.to_thread(lambda: list(variants.stored_variants(data)))
    return json_of({"data": [variant.manifest for variant in stored]})


@get("/v1/foreword/engines/variants/{name:str}", summary="One variant", tags=["Foreword"])
async def get_variant(gateway: Shared, key: Caller, name: PathText) -> Response[bytes]:
    """The variant's manifest. Only for admin keys."""
    admin_only(key, "read a variant")
    try:
        stored = await asyncio.to_thread(variants.stored_variant, gateway.settings.data_folder, name)
    except NoSuchVariant as error:
        raise NotFound(str(error)) from error
    return json_of(stored.manifest)


@delete("/v1/foreword/engines/variants/{name:str}", status_code=200, summary="Remove a variant", tags=["Foreword"])
async def remove_variant(gateway: Shared, key: Caller, name: PathText) -> Response[bytes]:
    """Deletes the variant's files. Refused while a configured backend uses the variant. Only for admin keys."""
    admin_only(key, "remove a variant")
    try:
        await asyncio.to_thread(variants.remove_variant, gateway.settings, name)
    except NoSuchVariant as error:
        raise NotFound(str(error)) from error
    except VariantInUse as error:
        raise BadRequest(str(error), code="variant_in_use") from error
    return json_of({"id": name, "object": "engine.variant", "deleted": True})


HANDLERS = (list_variants, get_variant, remove_variant)
