"""The whole configuration as one value, and its tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from gateway.settings.batches import Batches
from gateway.settings.context import Context
from gateway.settings.jobs import Jobs, Price
from gateway.settings.keys import AccessKey
from gateway.settings.mcp import Mcp, McpServer
from gateway.settings.models import ModelTable, Routing
from gateway.settings.prices import ModelPrice
from gateway.settings.prompt import PromptTable, Refiner, TemplatePolicy
from gateway.settings.records import Data, Records, Telemetry
from gateway.settings.server import Server


class KindTable(Struct, frozen=True):
    """A table with `kind = "..."`. It is decoded later, to the struct of its kind."""

    where: str
    kind: str
    table: Mapping[str, Any]


class Settings(Struct, frozen=True):
    """The whole configuration. Paths are relative to the folder `root`."""

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
    batches: Batches = Batches()
    mcp: Mcp = Mcp()
    keys: dict[str, AccessKey] = field(default_factory=dict)
    telemetry: Telemetry = Telemetry()
    jobs: Jobs = Jobs()
    prices: dict[str, ModelPrice] = field(default_factory=dict)
    backends: dict[str, KindTable] = field(default_factory=dict)
    embedder: KindTable | None = None
    store: KindTable | None = None
    reranker: KindTable | None = None
    state: KindTable = KindTable("[state]", "memory", {})
    broken: frozenset[str] = frozenset()
    """The tables with mistakes, such as `keys.app`. These tables may be incomplete or missing here."""

    @property
    def model_prices(self) -> Mapping[str, ModelPrice]:
        """The prices of `[prices]`, and those of `[jobs] prices` for models that `[prices]` lacks."""
        old = {name: ModelPrice(price.prompt, price.completion) for name, price in self.jobs.prices.items()}
        return {**old, **self.prices}

    @property
    def call_prices(self) -> Mapping[str, Price]:
        """The same prices as they are now, without those of cached and reasoning tokens."""
        return {name: Price(price.input, price.output) for name, price in self.model_prices.items()}

    @property
    def data_folder(self) -> Path:
        return (self.root / Path(self.data.folder).expanduser()).resolve()

    @property
    def access_log(self) -> str:
        """`stdout`, the path of the access log, or "" if there is none."""
        target = self.telemetry.access_log
        return {"off": "", "stdout": "stdout"}.get(target, str(self.root / Path(target).expanduser()))


PLAIN: dict[str, type[Struct]] = {
    "server": Server,
    "data": Data,
    "routing": Routing,
    "prompt": PromptTable,
    "refiner": Refiner,
    "context": Context,
    "records": Records,
    "batches": Batches,
    "mcp": Mcp,
    "telemetry": Telemetry,
    "jobs": Jobs,
}


NAMED: dict[str, type[Struct]] = {
    "models": ModelTable,
    "keys": AccessKey,
    "templates": TemplatePolicy,
    "prices": ModelPrice,
}


NESTED: dict[str, tuple[str, type[Struct]]] = {"mcp": ("servers", McpServer)}
"""Tables that hold a table of named tables."""


KINDS = ("embedder", "store", "reranker", "state")
