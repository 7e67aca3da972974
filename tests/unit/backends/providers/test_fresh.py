"""Values that expire are fetched once for all requests, early, and on a worker thread."""

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.backends.providers.fresh import AGAIN_S, EARLY_S, PAUSE_S, Fresh, NoCredentials
from gateway.backends.providers.tokens import TokenSettings, check_tokens, own_token


class Source:
    """Gives the values 1, 2, 3 ..., each valid for `valid_s`."""

    def __init__(self, valid_s: float = 3600.0) -> None:
        self.now = 1000.0
        self.fetched = self.asked = 0
        self.fails = False
        self.valid_s = valid_s
        self.threads: set[int] = set()

    def fetch(self) -> tuple[int, float]:
        self.threads.add(threading.get_ident())
        self.asked += 1
        if self.fails:
            raise OSError("secret of the source")
        self.fetched += 1
        return self.fetched, self.now + self.valid_s

    def fresh(self) -> Fresh[int]:
        return Fresh(self.fetch, "token for the backend 'x'", lambda: self.now)


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0.002)


async def test_many_requests_share_one_fetch_off_the_event_loop() -> None:
    source = Source()
    fresh = source.fresh()

    assert await asyncio.gather(*[fresh.get() for _ in range(20)]) == [1] * 20
    assert await fresh.get() == 1
    assert threading.get_ident() not in source.threads


async def test_a_value_is_fetched_before_it_expires_and_the_old_one_is_used_until_then() -> None:
    source = Source()
    fresh = source.fresh()
    await fresh.get()
    source.now += 3600 - EARLY_S + 1

    assert await fresh.get() == 1
    await settled()
    assert await fresh.get() == 2


async def test_a_failure_keeps_the_old_value_until_it_expires() -> None:
    source = Source()
    fresh = source.fresh()
    await fresh.get()
    source.fails = True
    source.now += 3600 - EARLY_S + 1
    assert await fresh.get() == 1
    await settled()
    assert await fresh.get() == 1

    source.now += EARLY_S
    with pytest.raises(NoCredentials) as told:
        await fresh.get()
    assert "secret of the source" not in told.value.message and "backend 'x'" in told.value.message

    source.fails = False
    source.now += PAUSE_S
    assert await fresh.get() == 2


async def test_a_source_that_fails_is_not_asked_by_every_request() -> None:
    source = Source()
    fresh = source.fresh()
    source.fails = True
    for _ in range(20):
        with pytest.raises(NoCredentials):
            await fresh.get()
    assert source.asked == 1

    source.now += PAUSE_S
    source.fails = False
    assert await fresh.get() == 1


async def test_a_cancelled_request_does_not_stop_the_fetch_of_the_others() -> None:
    source = Source()
    fresh = source.fresh()
    first = asyncio.create_task(fresh.get())
    second = asyncio.create_task(fresh.get())
    await asyncio.sleep(0)
    first.cancel()

    assert await second == 1


async def test_a_refused_value_is_dropped_but_not_again_and_again() -> None:
    source = Source()
    fresh = source.fresh()
    await fresh.get()
    fresh.drop()
    assert await fresh.get() == 2
    fresh.drop()
    assert await fresh.get() == 2

    source.now += AGAIN_S + 1
    fresh.drop()
    assert await fresh.get() == 3


def settings(**fields: Any) -> TokenSettings:
    return TokenSettings(base_url="http://127.0.0.1/v1", models=("*",), **fields)


def test_a_token_comes_from_a_command_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")

    command = own_token(settings(token_command=(sys.executable, "-c", "print('from-a-command')")), tmp_path)
    file = own_token(settings(token_file="token"), tmp_path)

    assert command is not None and command()[0] == "from-a-command"
    assert file is not None and file()[0] == "from-a-file"
    assert own_token(settings(), tmp_path) is None


@pytest.mark.parametrize("printed", ["", "two words", "two\\nlines", "caf\\u00e9"])
async def test_a_command_that_prints_no_token_is_an_error_without_its_words(printed: str, tmp_path: Path) -> None:
    fetch = own_token(settings(token_command=(sys.executable, "-c", f"print('{printed}')")), tmp_path)
    assert fetch is not None

    with pytest.raises(NoCredentials) as told:
        await Fresh(fetch, "token").get()
    assert "two" not in told.value.message


def test_wrong_token_settings_are_named(tmp_path: Path) -> None:
    wrong = settings(token_command=("a",), token_file="missing", api_key="k")

    assert [problem.where for problem in check_tokens(wrong, tmp_path)] == ["token_file", "token_file", "api_key"]


async def test_a_request_gets_its_value_although_another_one_drops_it_at_the_same_moment() -> None:
    fresh = Source().fresh()

    async def refused() -> int:
        value = await fresh.get()
        fresh.drop()
        return value

    assert await asyncio.gather(refused(), fresh.get()) == [1, 1]
