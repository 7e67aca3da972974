"""Lines of the access log: no client can forge one, and a slow reader delays nobody."""

import logging
import os
import re
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.server.access_lines import Proxies
from gateway.telemetry.access_log import MOST_WAITING, AccessLine, AccessLog, json_line, plain_line


# the zone of an address of IPv6, such as fe80::1%eth0, may be any text
@given(st.text(), st.text(), st.text(), st.one_of(st.just("1.1.1.1"), st.text().map("fe80::1%{}".format)))
def test_no_value_breaks_a_line_or_looks_like_another_field(path: str, model: str, key: str, client: str) -> None:
    line = AccessLine("T", client, key, "POST", "/" + path, 200, 1.0, "fw-1", model, "up")
    for text in (plain_line(line), json_line(line)):
        assert len(text.splitlines()) == 1
        assert text.isascii()
    values = re.findall(r'(?:^| )((?:\w+=)?(?:"(?:\\.|[^"\\])*"|[^ "]*))', plain_line(line))
    names = [value.partition("=")[0] for value in values[7:]]
    assert names == ["id", *(["model"] if model else []), "backend"]
    assert " ".join(values) == plain_line(line)


def test_tokens_are_found_in_both_apis_and_never_in_an_answer_that_quotes_them() -> None:
    line = AccessLine()
    text = b'"\\"prompt_tokens\\": 5"'
    line.count(b'{"content":' + text + b',"usage":{"prompt_tokens":3,"completion_tokens":4}}')
    messages = AccessLine()
    messages.count(b'data: {"usage":{"input_tokens":8,"output_tokens":1}}' + b"x" * 100_000 + b'"output_tokens": 77}')

    assert (line.tokens_read, line.tokens_written) == (3, 4)
    assert (messages.tokens_read, messages.tokens_written) == (8, 77)


def test_a_reader_that_stands_still_costs_lines_and_no_time(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(str(tmp_path / "log"), "line")
    line = AccessLine(path="/" + "x" * 150)
    began = time.monotonic()
    for _ in range(MOST_WAITING + 2000):
        log.write(line)
    log.close()
    took_s = time.monotonic() - began
    dropped = log.dropped
    os.set_blocking(reader, True)
    drained = threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(reader, 1 << 20), b"")])
    drained.start()
    log.close()
    drained.join()
    os.close(reader)

    assert 0 < dropped < 2000
    assert took_s < 5.0


def test_a_log_that_cannot_be_written_complains_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AccessLog(str(folder / "log"), "line")
    (folder / "log").unlink()
    folder.rmdir()
    with caplog.at_level(logging.ERROR, "foreword.telemetry"):
        for _ in range(3):
            log.write(AccessLine())
        log.close()

    assert [record.getMessage()[:31] for record in caplog.records] == ["the access log cannot be written"[:31]]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6", "1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["1.1.1.1, ::ffff:10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("192.0.2.1", ["1.1.1.1"], "192.0.2.1"),
    ],
)
def test_only_a_trusted_proxy_is_believed(peer: str, forwarded: list[str], client: str) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    assert Proxies(("10.0.0.0/8",)).client({"client": (peer, 1), "headers": headers}) == client
    assert Proxies(()).client({"client": (peer, 1), "headers": headers}) == peer


def test_a_number_of_thousands_of_digits_is_no_error() -> None:
    line = AccessLine()
    line.count(b'{"usage":{"prompt_tokens":' + b"9" * 5000 + b',"completion_tokens":7}}')
    assert line.tokens_written == 7
