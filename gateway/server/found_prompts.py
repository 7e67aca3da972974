"""Endpoints for the prompts that the job `discover` found in an application's traffic."""

import asyncio
from pathlib import Path
from time import time
from typing import Annotated, Literal

import msgspec
from litestar import Response, get, post
from litestar.params import QueryParameter
from msgspec import Meta, Struct
from msgspec.structs import replace

from gateway.ask import ClientKey
from gateway.assembly.gateway import Gateway
from gateway.errors import BadRequest, NotFound
from gateway.prompt.found.adopt import NotAdopted, identity
from gateway.prompt.found.contract import AnswerContract
from gateway.prompt.found.contract_file import ContractBroken, replace_contract
from gateway.prompt.found.found_prompt import FoundPrompt, PromotedVersion, PromptState, promoted
from gateway.prompt.found.frozen import WrongTemplate, with_locks
from gateway.prompt.found.shown_contract import with_contract
from gateway.prompt.found.store import FoundFile, NoSuchPrompt, change_found, found_path, one_of, put, read_found
from gateway.prompt.found.templates import NoSuchVersion, exported, read_template, write_identity
from gateway.prompt.found.view import ShownPrompt, difference, listed, may_show_values, shown
from gateway.server.handlers import AnyRequest, Caller, PathText, Shared, admin_only, json_of

VersionNumber = Annotated[int, QueryParameter(description="The number of a version; 0: the newest")]


class PromptChange(Struct, forbid_unknown_fields=True):
    """The body of a request that changes a found prompt: a new name, a new state, or the template version to send."""

    name: Annotated[str, Meta(pattern=r"^([a-z0-9][a-z0-9._-]{0,63})?$(?!\n)")] = ""
    state: Literal["", "found", "ignored", "adopted"] = ""
    version: Annotated[int, Meta(ge=0)] | None = None
    """The version to send. 0 sends the application's own text in all conversations."""
    share: Annotated[float, Meta(gt=0, le=1)] = 0.1
    """The share of new conversations that get the version."""
    unlock: tuple[int, ...] = ()
    """The numbers of fixed texts that versions may change or leave out."""
    lock: tuple[int, ...] = ()
    """The numbers of fixed texts to lock again."""
    contract: AnswerContract | None = None
    """The contract of the answers, in place of the present one. A contract without claims removes it."""


_change = msgspec.json.Decoder(PromptChange)


@get("/v1/foreword/prompts", summary="The prompts that applications build", tags=["Foreword"])
async def list_prompts(gateway: Shared, key: Caller) -> Response[bytes]:
    """Lists the prompts found in the key's traffic, with the requests, cost, latency and feedback of each prompt. An
    admin key sees the prompts of all keys."""
    prompts = sorted(await _prompts(gateway, key), key=lambda prompt: (-prompt.use.requests, prompt.id))
    return json_of({"data": [listed(prompt) for prompt in prompts]})


@get("/v1/foreword/prompts/{name:str}", summary="One prompt, with its text", tags=["Foreword"])
async def get_prompt(gateway: Shared, key: Caller, name: PathText, version: VersionNumber = 0) -> Response[bytes]:
    """The prompt's skeleton, its parts with examples of their values, and the change since the previous version."""
    prompt = _one(await _prompts(gateway, key), name)
    return json_of(await asyncio.to_thread(_with_change, gateway, prompt, version))


@get("/v1/foreword/prompts/{name:str}/export", summary="A prompt as a template file", tags=["Foreword"])
async def export_prompt(gateway: Shared, key: Caller, name: PathText) -> Response[bytes]:
    """A template whose version 1 renders exactly what the application sends. Refused if the fixed text contains a
    secret."""
    prompt = _one(await _prompts(gateway, key), name)
    try:
        text = exported(identity(prompt), prompt.unlocked)
    except NotAdopted as error:
        raise BadRequest(str(error)) from error
    return Response(text.encode(), media_type="text/markdown; charset=utf-8")


@post("/v1/foreword/prompts/{name:str}", status_code=200, summary="Name, ignore or adopt a prompt", tags=["Foreword"])
async def change_prompt(request: AnyRequest, gateway: Shared, key: Caller, name: PathText) -> Response[bytes]:
    """The body is `{"name": new name}`, `{"state": "found", "ignored" or "adopted"}`, or `{"version": 2, "share": 0.1}`
    to send a version of an adopted prompt. Version 0 sends the application's own text again. `{"contract": {...}}`
    replaces the contract of the answers, and `{"unlock": [2]}` allows versions to change a fixed text. Only for admin
    keys."""
    admin_only(key, "change found prompts")
    try:
        change = _change.decode(await request.body())
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not a valid change: {error}") from error
    folder = gateway.settings.data_folder
    changed = await asyncio.to_thread(_changed, folder, name, change)
    return json_of(await asyncio.to_thread(_with_change, gateway, changed, 0))


HANDLERS = (list_prompts, get_prompt, export_prompt, change_prompt)


async def _prompts(gateway: Gateway, key: ClientKey) -> list[FoundPrompt]:
    content = await asyncio.to_thread(read_found, found_path(gateway.settings.data_folder))
    return [prompt for prompt in content.prompts if key.admin or prompt.key == key.name]


def _one(prompts: list[FoundPrompt], name: str) -> FoundPrompt:
    try:
        return one_of(prompts, name)
    except NoSuchPrompt as error:
        raise NotFound(str(error)) from error


class PromptWithChange(Struct, frozen=True):
    """A prompt, and the diff from the previous version. The first version has an empty diff."""

    prompt: ShownPrompt
    change: list[str]


def _with_change(gateway: Gateway, prompt: FoundPrompt, number: int) -> PromptWithChange:
    wanted = number or prompt.newest.number
    version = next((one for one in prompt.versions if one.number == wanted), None)
    if version is None:
        raise NotFound(f"{prompt.name} has no version {number}; its newest is {prompt.newest.number}.")
    before = [one for one in prompt.versions if one.number < wanted]
    view = shown(prompt, version, values=may_show_values(gateway.settings, prompt.key))
    view = with_contract(view, gateway.settings.data_folder)
    return PromptWithChange(view, difference(before[-1], version) if before else [])


def _spoken(folder: Path, prompt: FoundPrompt, change: PromptChange) -> PromotedVersion | None:
    if not change.version:
        return None
    if prompt.state is not PromptState.ADOPTED:
        raise BadRequest(f"{prompt.name} is not adopted.", param="version")
    try:
        read_template(folder, prompt.id, change.version)
    except NoSuchVersion as error:
        raise BadRequest(f"{prompt.name} has no template version {change.version}.", param="version") from error
    return promoted(prompt, change.version, change.share, time())


def _write_contract(folder: Path, prompt: FoundPrompt, contract: AnswerContract) -> None:
    if prompt.state is not PromptState.ADOPTED:
        raise BadRequest(f"{prompt.name} is not adopted.", param="contract")
    try:
        replace_contract(folder, prompt.id, contract)
    except ContractBroken as error:
        raise BadRequest(str(error), param="contract") from error


def _changed(folder: Path, name: str, change: PromptChange) -> FoundPrompt:
    made: list[FoundPrompt] = []

    def changed(content: FoundFile) -> FoundFile:
        prompt = _one(list(content.prompts), name)
        if change.name and any(change.name in (one.name, one.id) for one in content.prompts if one.id != prompt.id):
            raise BadRequest(f"A prompt {change.name!r} exists already.", param="name")
        prompt = replace(prompt, name=change.name or prompt.name, state=PromptState(change.state or prompt.state))
        if prompt.state is not PromptState.ADOPTED:
            # otherwise a later adoption would send a promoted version at once
            prompt = replace(prompt, spoken=None)
        if change.state == "adopted":
            try:
                write_identity(folder, prompt)
            except NotAdopted as error:
                raise BadRequest(str(error)) from error
        if change.version is not None:
            prompt = replace(prompt, spoken=_spoken(folder, prompt, change))
        try:
            prompt = with_locks(prompt, change.unlock, change.lock)
        except WrongTemplate as error:
            raise BadRequest(str(error), param="unlock" if change.unlock else "lock") from error
        if change.contract is not None:
            _write_contract(folder, prompt, change.contract)
        made.append(prompt)
        return put(content, [prompt])

    change_found(found_path(folder), changed)
    return made[0]
