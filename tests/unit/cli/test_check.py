"""`foreword check` finds every mistake in one run, and says of none what is not so."""

from pathlib import Path

import pytest

from gateway.cli.check import mistakes

BACKEND = '[backends.up]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["m"]\n'
TEN = """\
[server]
port = 99999
hots = "127.0.0.1"

[prompt]
templates = ["nofolder"]

[keys.app]
sha256 = "short"

[keys.other]
mode = "onn"
secret = "long-enough"

[backends.first]
kind = "opnai"
base_url = "https://api.openai.com"
api_key = "env:NO_SUCH_VARIABLE"
modles = ["a"]
models = ["gpt-*"]

[models.small]
backend = "first"
fallback = "nobody"

[routing]
default = "nothing"
"""


def found(tmp_path: Path, config: str) -> list[str]:
    (tmp_path / "config.toml").write_bytes(config.encode())
    return [str(problem) for problem in mistakes(tmp_path / "config.toml")]


def test_ten_mistakes_are_found_in_one_run(tmp_path: Path) -> None:
    problems = found(tmp_path, TEN)

    for words in (
        "[server] port",
        "[server] hots: unknown key",
        "'nofolder' is not a folder",
        "[keys.app] sha256",
        "[keys.other] mode",
        "unknown kind 'opnai'",
        "NO_SUCH_VARIABLE is not set",
        "[backends.first] modles: unknown key",
        "no model 'nobody'",
        "no model 'nothing'",
    ):
        assert len([problem for problem in problems if words in problem]) == 1, (words, problems)
    assert len(problems) == 10


@pytest.mark.parametrize(
    ("address", "is_right"),
    [
        ("https://api.openai.com", False),
        ("http://127.0.0.1:8000/api", False),
        ("https://api.openai.com/v1/chat/completions", False),
        ("https://api.openai.com/v1", True),
        ("https://api.openai.com/v1/", True),
        ("https://generativelanguage.googleapis.com/v1beta/openai", True),
        ("https://api.perplexity.ai/", True),
    ],
)
def test_an_address_without_its_version_is_a_mistake(tmp_path: Path, address: str, is_right: bool) -> None:
    config = f'[prompt]\ntemplates = []\n[backends.a]\nkind = "openai"\nbase_url = "{address}"\nmodels = ["*"]\n'
    assert (found(tmp_path, config) == []) is is_right


@pytest.mark.parametrize(
    ("table", "where"),
    [
        (
            '[backends.b]\nkind = "openai"\nbase_url = "http://[::1/v1"\nproxy = "environment"\nmodels = ["x"]',
            "base_url",
        ),
        ('[backends.b]\nkind = "openai"\nbase_url = "http://[x]/v1"\nmodels = ["x"]', "base_url"),
        (
            '[backends.b]\nkind = "openai"\nbase_url = "http://a:99999/v1"\nproxy = "environment"\nmodels = ["x"]',
            "port",
        ),
        ('[backends.b]\nkind = "openai"\nbase_url = "http://a b/v1"\nmodels = ["x"]', "blank"),
        ('[backends.b]\nkind = "openai"\nbase_url = "http://ä/v1"\nmodels = ["x"]', "xn--"),
        ('[backends.b]\nkind = "openai"\nbase_url = "http://a/v1\\r\\nx: y"\nmodels = ["x"]', "blank"),
        ('[backends.b]\nkind = "azure"\nbase_url = "http://[::1"\nmodels = ["x"]', "base_url"),
        ('[backends.b]\nkind = "gemini"\nbase_url = "http://[::1"\nmodels = ["x"]', "base_url"),
        ('[state]\nkind = "redis"\nurl = "redis://[::1"', "url"),
        ('[store]\nkind = "chroma"\nurl = "http://[::1"', "url"),
        ("[server]\nport = " + "1" * 5000, "not valid TOML"),
        ("[server]\nport = " + "[" * 5000, "not valid TOML"),
    ],
)
def test_an_address_or_a_number_that_cannot_be_read_is_a_mistake(tmp_path: Path, table: str, where: str) -> None:
    problems = found(tmp_path, BACKEND + "[prompt]\ntemplates = []\n" + table)
    assert len([problem for problem in problems if where in problem]) == 1


def test_a_mark_at_the_beginning_of_the_file_is_read_over(tmp_path: Path) -> None:
    assert found(tmp_path, "\ufeff" + BACKEND + "[prompt]\ntemplates = []\n") == []


def test_an_empty_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY_ONE", " ")
    (problem,) = found(tmp_path, BACKEND + 'api_key = "env:EMPTY_ONE"\n[prompt]\ntemplates = []\n')
    assert "environment variable EMPTY_ONE is empty" in problem


def test_a_host_that_nobody_knows_is_called_unknown(tmp_path: Path) -> None:
    (problem,) = found(tmp_path, BACKEND + '[server]\nhost = "nohost.invalid"\n[prompt]\ntemplates = []\n')
    assert "'nohost.invalid' is neither an address" in problem


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        # what these tables would have offered is not called unknown
        ('[backends.b]\nkind = "opnai"\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["x"]\n', "unknown kind"),
        ('[backends.b]\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["x"]\n', "kind: is required"),
        ('[models.x]\nbackend = 7\n[backends.b]\nkind = "openai"\nbase_url = "http://h/v1"\nmodels = ["y"]', "backend"),
        ('[keys.app]\nsha256 = "short"\n[server]\nhost = "0.0.0.0"\n[models.x]\nbackend = "up"\n', "sha256"),
    ],
)
def test_one_mistake_is_not_counted_twice(tmp_path: Path, broken: str, words: str) -> None:
    config = BACKEND + '[prompt]\ntemplates = []\n[models.z]\nbackend = "up"\nfallback = "x"\n' + broken
    (problem,) = found(tmp_path, config)
    assert words in problem


def test_every_mistake_inside_inner_tables_is_found_with_its_place_and_remedy(tmp_path: Path) -> None:
    inner = """
[models.chat]
strategy = "weighted"
[[models.chat.deployments]]
backend = "up"
upstrem = "m"
wieght = 2
[[models.chat.deployments]]
upstream = "m"
abilities = ["tolls"]
price = {prompt = 1.0, completoin = 2.0}
[jobs.prices."m"]
promt = 1.0
"""
    problems = "\n".join(found(tmp_path, BACKEND + "[prompt]\ntemplates = []\n" + inner))

    for words in (
        "[models.chat] deployments, number 1 upstrem: unknown key\n    Did you mean 'upstream'?",
        "[models.chat] deployments, number 1 wieght: unknown key\n    Did you mean 'weight'?",
        "[models.chat] deployments, number 2 backend: is required",
        "[models.chat] deployments, number 2 abilities: ",
        "[models.chat] deployments, number 2 price completoin: unknown key\n    Did you mean 'completion'?",
        "[jobs] prices 'm' promt: unknown key\n    Did you mean 'prompt'?",
    ):
        assert words in problems
