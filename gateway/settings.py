"""`config.toml` as typed structs, and a reader that reports every mistake at once.

Each field's docstring is its documentation: `docs/configuration.md` is generated from it. The settings of a
kind (a backend, an embedder, a store) stand beside its class; here they are `KindTable`s, which `adapters`
decodes.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from gateway.documented import listed_values
from gateway.errors import ConfigError, Problem
from gateway.exchange import Mode

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Amount = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(gt=0)]
Digest = Annotated[str, Meta(pattern="^([0-9a-fA-F]{64})?$")]


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """`[server]`: the address and port of the gateway, and its limits."""

    host: str = "127.0.0.1"
    """The address to listen on. Any other than loopback needs at least one `[keys.x]`."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 8080
    """The port to listen on."""
    workers: Count = 1
    """Worker processes. More than one needs `[state] kind = "redis"` and a store that several processes may open."""
    max_body_mb: Count = 32
    """A larger request body is refused with 413."""
    closing_event: bool = True
    """Whether chat streams with sources may end with an event of the gateway's own, whose `choices` are empty. A
    request can override it with `foreword.closing_event`."""
    health_port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    """A second port with `/health/live`, `/health/ready` and `/metrics`, which answers even if the first port is
    overloaded. Left out: `port` + 1, if that is free; 0: none."""
    max_connections: Count = 8192
    """The most connections of each worker. At this number the connection that has been idle for longest is closed to
    accept a new one; if none is idle, new ones wait. Never more than half of the files that the process may open."""
    max_requests: Count = 4096
    """The most requests that each worker handles at a time. A further one is refused with 503 and `retry-after`."""
    head_timeout_s: Seconds = 30.0
    """The longest time for the head of a request to arrive."""
    idle_timeout_s: Seconds = 75.0
    """How long an idle connection stays open for the next request."""
    body_timeout_s: Seconds = 300.0
    """The longest time for the body of a request to arrive; after it the request is refused with 408."""
    body_pause_s: Seconds = 30.0
    """The longest pause within a body."""
    write_timeout_s: Seconds = 30.0
    """A client is disconnected if it reads less than 1,000 bytes a second of its answer for this long."""
    drain_notice_s: Annotated[float, Meta(ge=0)] = 1.0
    """When the server stops, `/health/ready` answers 503 for this long before the port closes. Behind a load balancer,
    make it longer than the time between two of its probes."""
    drain_s: Annotated[float, Meta(ge=0)] = 25.0
    """After that, running requests have this long to finish. A stream that is then cut gets an error event."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of web pages that may call the gateway from a browser (CORS), such as `https://app.example.com`; `*`:
    any. Left out: none. A page sends its key as a bearer token."""
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    """The lowest level of messages that are written to standard error."""


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """`[data]`: the folder for everything that the gateway writes."""

    folder: str = "data"
    """The folder of spool, database, vector store and trained classifiers. Relative to the config file."""


class Routing(Struct, frozen=True, forbid_unknown_fields=True):
    """`[routing]`: the model for requests that name none."""

    default: str = ""
    """The model of a request that names none, or names `auto`."""


class ModelTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[models."name"]`: a model name for clients, and the backend behind it."""

    backend: str
    upstream: str = ""
    """The model's name at the backend; the same name if left out."""
    fallback: str = ""
    """Another model, tried once if the backend cannot be reached, is overloaded or fails."""
    mode: Mode | None = None
    """`off`, `shadow` or `on` for requests to this model; left out: `[prompt] mode`."""
    canary: Share | None = None
    """The share of conversations with this model that are rewritten when the mode is `on`; left out:
    `[prompt] canary`."""
    window_tokens: Amount = 0
    """The context window in tokens. Set it if the backend does not report it, or if the model uses less of it well."""
    longer: str = ""
    """The name of the same model at a deployment with a longer window, for prompts that are too long for this one."""
    repeat: bool = False
    """Whether a request may be sent again (once to the backend, then to the fallback) if the backend took it and then
    stopped answering. The work may then be done, and paid for, twice. A request with an `idempotency-key` header is
    always sent again."""


class PromptTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[prompt]`: classifying and rewriting."""

    mode: Mode = Mode.ON
    """`off`: plain proxy. `shadow`: decide and record, change nothing. `on`: rewrite."""
    canary: Share = 1.0
    """The share of conversations that are rewritten when the mode is `on`; the rest are the control."""
    gains: Literal["use", "ignore"] = "use"
    """`use`: a prompt is left as it is if measurements showed that this model does not gain from rewriting its
    intent."""
    templates: tuple[str, ...] = ("templates",)
    """Folders of template files, relative to the config file. All are one library."""
    watch_s: Annotated[float, Meta(ge=0)] = 1.0
    """The interval at which the files are checked for changes; 0: only on `POST /v1/foreword/reload`."""
    budget_ms: Count = 300
    """The time limit of classifying, and again of rewriting. After it, the client's own prompt is sent."""
    confidence: Share = 0.6
    """If an intent's calibrated probability is lower, it is *unknown* and nothing is rewritten."""
    first_tier: Share = 0.9
    """From this probability on, the static embedding decides alone; below it, the sentence model is used too."""
    improvable: Share = 0.4
    """If the probability that a rewrite helps is lower, the prompt is left as it is."""
    growth_chars: Count = 20_000
    """The most characters that a template, with its examples, may add to a prompt. The template's own `growth_chars`
    takes precedence."""


class TemplatePolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """`[templates."id"]`: limits of one template, within those of route and key."""

    mode: Mode = Mode.ON
    """`off`: the template is never used. `shadow`: its prompt is recorded and not sent."""
    canary: Share = 1.0
    """The share of conversations that get the template; the rest are the control."""


class Refiner(Struct, frozen=True, forbid_unknown_fields=True):
    """`[refiner]`: a model that improves prompts for which no template is used."""

    model: str = ""
    """Any model of the gateway, including a locally trained one. Left out: nothing is refined."""
    budget_ms: Count = 4000
    """The time limit of the refiner. After it, the client's own prompt is sent."""
    max_tokens: Count = 800
    """The longest answer of the refiner, in tokens."""
    improvable: Share = 0.5
    """If the probability that a rewrite helps is lower, the prompt is not refined."""
    growth: Annotated[float, Meta(ge=1)] = 6.0
    """The largest factor by which a refined prompt may be longer than the client's. A longer one is not used."""
    attach_original: bool = True
    """Whether the client's own words are sent below the refined prompt."""
    cache_entries: Amount = 1000
    """The number of refined prompts that each worker caches; 0: none."""
    cache_ttl_s: Seconds = 3600.0
    """How long a refined prompt is cached."""


class Context(Struct, frozen=True, forbid_unknown_fields=True):
    """`[context]`: collections, retrieval, and fitting prompts into windows."""

    chunk_tokens: Annotated[int, Meta(ge=16)] = 200
    """The longest chunk of a document; never longer than the embedding model's window."""
    max_file_mb: Annotated[int, Meta(ge=1, le=64)] = 64
    """A larger upload is refused with 413."""
    top_k: Count = 6
    """The most chunks that a request gets."""
    budget_tokens: Count = 800
    """The most tokens of chunks that a request gets."""
    rerank: tuple[str, ...] = ("*",)
    """The collections, by name or id, whose passages are sorted by `[reranker]`; `*`: all."""
    floor: Annotated[float, Meta(ge=-1, le=1)] | None = None
    """Chunks with a lower score are not used. Left out: each collection has a learned floor."""
    budget_ms: Count = 2000
    """The time limit of retrieval. After it, the request goes on without chunks, with a note."""
    strategy: Literal["auto", "off"] = "auto"
    """How a prompt over its model's window is handled. `auto`: it is searched or read in parts, depending on the task.
    `off`: the same only if the request names a strategy; else the oldest turns of a conversation are left out."""
    note_tokens: Annotated[int, Meta(ge=16)] = 200
    """The most tokens of the notes on one part of a long text."""
    most_calls: Count = 64
    """The most calls for reading a text in parts. A text that needs more is not read in parts."""
    most_tokens: Count = 400_000
    """The most tokens, read and written, for reading a text in parts."""
    parallel_calls: Count = 4
    """The number of parts that are read at the same time, over all requests."""


class Records(Struct, frozen=True, forbid_unknown_fields=True):
    """`[records]`: the records of exchanges."""

    policy: str = "full"
    """`full` stores prompts and answers, `hashed` stores hashes and figures, `none` stores nothing."""
    database: str = ""
    """An SQLAlchemy URL; left out: SQLite in the data folder."""
    retention_days: Amount = 30
    """Older exchanges are deleted; 0: never."""
    max_answer_kb: Count = 4096
    """How much of an answer is stored. The record of a longer one has a note that says `truncated`."""
    drain_s: Seconds = 1.0
    """The interval at which records are moved from the spool to the database."""


class AccessKey(Struct, frozen=True, forbid_unknown_fields=True):
    """`[keys.name]`: a client key. Clients send it as `Authorization: Bearer ...`."""

    secret: str = ""
    """The key itself; `env:NAME` reads it from the environment. Prefer `sha256`, so that the file holds no secret."""
    sha256: Digest = ""
    """The key's SHA-256 in hex: `printf %s "$KEY" | sha256sum`."""
    mode: Mode = Mode.ON
    """The highest mode for requests with this key."""
    canary: Share = 1.0
    """The share of this key's conversations that are rewritten when the mode is `on`; the rest are the control."""
    models: tuple[str, ...] = ()
    """Model names this key may use (`*` at the end matches any rest). Left out: all."""
    collections: tuple[str, ...] = ()
    """Collections this key may name. Left out: all."""
    requests_per_minute: Amount = 0
    """The most requests in a minute; 0: no limit."""
    record: str = ""
    """`full`, `hashed` or `none` for this key; left out: `[records] policy`."""
    admin: bool = False
    """Whether the key may read every exchange, see the objects that backends store, and delete models."""


class Telemetry(Struct, frozen=True, forbid_unknown_fields=True):
    """`[telemetry]`: traces. Metrics are always on, at `/metrics`."""

    traces: str = "off"
    """`off`, `console`, or an OTLP/HTTP endpoint such as `http://127.0.0.1:4318/v1/traces`."""
    service: str = "foreword"


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """The price of a model per million tokens, in any one currency."""

    prompt: Annotated[float, Meta(ge=0)] = 0.0
    completion: Annotated[float, Meta(ge=0)] = 0.0


class Jobs(Struct, frozen=True, forbid_unknown_fields=True):
    """`[jobs]`: the budgets of offline jobs, the models that they use, and what they may publish without approval."""

    calls: Count = 500
    """The most model calls of one job."""
    tokens: Count = 1_000_000
    """The most tokens of one job, prompts and answers together."""
    money: Annotated[float, Meta(ge=0)] = 0.0
    """The highest cost of one job, in the currency of `prices`; 0: no limit."""
    minutes: Annotated[float, Meta(gt=0)] = 120.0
    """The longest running time of one job, including all its resumptions."""
    prices: dict[str, Price] = {}
    """The prices of models: `prices."gpt-4o" = {prompt = 2.5, completion = 10}`. A model without a price is free."""
    parallel: Count = 2
    """The number of model calls that a job makes at the same time."""
    model: str = ""
    """The model for which templates are optimised; left out: `[routing] default`."""
    critic: str = ""
    """The model that criticises and proposes. Left out: proposals come from rules alone."""
    judge: str = ""
    """The model that judges answers if the right answer is unknown. Left out: they are not judged."""
    auto: Literal["off", "candidate", "canary", "active"] = "candidate"
    """What is done with a winner without approval. `off` leaves it in the job's folder, `candidate` writes its file,
    `canary` uses it for a share of the requests, `active` also puts a good canary into general use."""
    share: Annotated[float, Meta(gt=0, le=0.5)] = 0.05
    """The share of requests that a canary gets."""
    canary_answers: Count = 200
    """The number of scored answers that a canary needs before it can become active."""
    webhook: Annotated[str, Meta(pattern="^(https?://.*)?$")] = ""
    """The address to which alerts are sent, as a POST of JSON."""
    mlflow: str = ""
    """The folder for experiments in MLflow's file format. Left out: none are written."""
    schedules: dict[str, str | list[str]] = {}
    """When each job runs, for `foreword jobs cron`: cron's five fields, followed by the job's arguments.
    `schedules.optimise = "0 3 * * sun template=summarise.en"`. A list runs a job several times."""


class KindTable(Struct, frozen=True):
    """A table with `kind = "..."`, decoded later by that kind's own struct."""

    where: str
    kind: str
    table: Mapping[str, Any]


class Settings(Struct, frozen=True):
    """The whole configuration. `root` is the folder that relative paths start from."""

    root: Path
    file: str = "config.toml"
    server: Server = Server()
    data: Data = Data()
    routing: Routing = Routing()
    models: dict[str, ModelTable] = field(default_factory=dict)
    prompt: PromptTable = PromptTable()
    templates: dict[str, TemplatePolicy] = field(default_factory=dict)
    refiner: Refiner = Refiner()
    context: Context = Context()
    records: Records = Records()
    keys: dict[str, AccessKey] = field(default_factory=dict)
    telemetry: Telemetry = Telemetry()
    jobs: Jobs = Jobs()
    backends: dict[str, KindTable] = field(default_factory=dict)
    embedder: KindTable | None = None
    store: KindTable | None = None
    reranker: KindTable | None = None
    state: KindTable = KindTable("[state]", "memory", {})
    broken: frozenset[str] = frozenset()
    """The tables with mistakes, such as `keys.app`. They may be included here in part, or not at all."""

    @property
    def data_folder(self) -> Path:
        return (self.root / Path(self.data.folder).expanduser()).resolve()


PLAIN: dict[str, type[Struct]] = {
    "server": Server,
    "data": Data,
    "routing": Routing,
    "prompt": PromptTable,
    "refiner": Refiner,
    "context": Context,
    "records": Records,
    "telemetry": Telemetry,
    "jobs": Jobs,
}
NAMED: dict[str, type[Struct]] = {"models": ModelTable, "keys": AccessKey, "templates": TemplatePolicy}
KINDS = ("embedder", "store", "reranker", "state")


def load(path: Path) -> Settings:
    """Read and check a configuration. Raises `ConfigError` with every mistake in it."""
    settings, problems = read_file(path)
    if settings is None or problems:
        raise ConfigError(problems)
    return settings


def read_file(path: Path) -> tuple[Settings | None, list[Problem]]:
    """The settings, as far as the file can be read, and every mistake in it."""
    try:
        table = tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        remedy = "Copy config.toml from the repository, or pass --config PATH."
        return None, [Problem(str(path), "there is no such file", remedy)]
    except (OSError, UnicodeDecodeError) as error:
        return None, [Problem(str(path), f"cannot be read: {error}")]
    except tomllib.TOMLDecodeError as error:
        return None, [Problem(str(path), f"is not valid TOML: {error}")]
    return read(table, root=path.resolve().parent, file=path.name)


def read(table: Mapping[str, Any], *, root: Path, file: str = "config.toml") -> tuple[Settings, list[Problem]]:
    """Decode the tables of a configuration. Mistakes are returned as problems."""
    problems: list[Problem] = []
    parts: dict[str, Any] = {}
    broken: set[str] = set()

    def keep(name: str, result: tuple[Any, list[Problem]]) -> Any:
        if result[1]:
            broken.add(name)
        problems.extend(result[1])
        return result[0]

    known = [*PLAIN, *NAMED, *KINDS, "backends"]
    for name, value in table.items():
        where = f"{file} [{name}]"
        if name not in known:
            problems.append(Problem(where, "unknown table", _suggest(name, known)))
        elif not isinstance(value, dict):
            problems.append(Problem(where, f"must be a table, not {type(value).__name__}"))
        elif name in PLAIN:
            # the correct fields of a table still take part in the checks that need several tables
            parts[name] = keep(name, _readable(value, PLAIN[name], where))
        elif name in NAMED:
            parts[name] = {
                key: keep(f"{name}.{key}", _readable(entry, NAMED[name], f"{file} [{name}.{key}]"))
                for key, entry in value.items()
            }
        elif name == "backends":
            parts[name] = {
                key: keep(f"backends.{key}", _kind_table(entry, f"{file} [backends.{key}]"))
                for key, entry in value.items()
            }
        else:
            parts[name] = keep(name, _kind_table(value, where))
    present: dict[str, Any] = {
        name: {key: entry for key, entry in part.items() if entry is not None} if isinstance(part, dict) else part
        for name, part in parts.items()
        if part is not None
    }
    return Settings(root=root, file=file, broken=frozenset(broken), **present), problems


def _readable(table: Any, struct: type[Struct], where: str) -> tuple[Any, list[Problem]]:
    """The readable part of a table, and the mistakes in the rest. None if a required key cannot be read."""
    if not isinstance(table, Mapping):
        return None, [Problem(where, f"must be a table, not {type(table).__name__}")]
    values, problems = _fields(table, struct, where)
    required = {info.name for info in msgspec.structs.fields(struct) if info.required}
    return (struct(**values) if required <= values.keys() else None), problems


def decode(table: Any, struct: type[Struct], where: str) -> tuple[Any, list[Problem]]:
    """Decode one table to a struct, or None. Every wrong, unknown or missing key is a problem of its own.

    Texts of the form `env:NAME` are replaced by that environment variable's value.
    """
    if not isinstance(table, Mapping):
        return None, [Problem(where, f"must be a table, not {type(table).__name__}")]
    values, problems = _fields(table, struct, where)
    return (None if problems else struct(**values)), problems


def _fields(table: Mapping[str, Any], struct: type[Struct], where: str) -> tuple[dict[str, Any], list[Problem]]:
    """The readable values by field, and the mistakes in the others."""
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    fields = {info.encode_name: info for info in msgspec.structs.fields(struct)}
    for key, value in table.items():
        info = fields.get(key)
        if info is None:
            problems.append(Problem(f"{where} {key}", "unknown key", _suggest(key, fields)))
            continue
        try:
            values[info.name] = msgspec.convert(_from_environment(value), info.type)
        except KeyError as error:
            what = f"environment variable {error.args[0]} is {'empty' if error.args[0] in os.environ else 'not set'}"
            problems.append(Problem(f"{where} {key}", what, "Export it, or write the value here."))
        except msgspec.ValidationError as error:
            listed = ", ".join(listed_values(info.type))
            problems.append(Problem(f"{where} {key}", str(error), f"One of: {listed}." if listed else ""))
    problems.extend(
        Problem(f"{where} {info.encode_name}", "is required")
        for info in fields.values()
        if info.required and info.encode_name not in table
    )
    return values, problems


@lru_cache(maxsize=64)  # called with each request's Host header
def is_loopback(host: str) -> bool:
    """Whether an address with that name can be reached only from this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False  # the owner of a name, such as 127.example.com, can point it anywhere


def _kind_table(value: Any, where: str) -> tuple[KindTable | None, list[Problem]]:
    if not isinstance(value, dict):
        return None, [Problem(where, f"must be a table, not {type(value).__name__}")]
    kind = value.get("kind")
    if not isinstance(kind, str) or not kind:
        return None, [Problem(f"{where} kind", "is required", 'For example kind = "openai".')]
    return KindTable(where, kind, {key: entry for key, entry in value.items() if key != "kind"}), []


def _from_environment(value: Any) -> Any:
    """The value with `env:NAME` replaced. Raises `KeyError` with the name of a variable that is not set, or blank."""
    if isinstance(value, str) and value.startswith("env:"):
        name = value.removeprefix("env:")
        if not os.environ[name].strip():
            raise KeyError(name)
        return os.environ[name]
    return value


def _suggest(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(word, names, 1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(names)}."
