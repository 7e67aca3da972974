"""Prints found prompts as tables."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from gateway.cli.listing import facts_table, plain, print_rows
from gateway.prompt.found.shown_contract import claims
from gateway.prompt.found.store import LastRun, WaitingPrompt
from gateway.prompt.found.view import ShownPrompt, ShownUse

NUMBERS = ("requests", "users", "tokens", "cost", "ms", "score")
LONGEST_VALUE = 60


NEEDED = "ten requests from three users or on three days"


def print_prompts(prompts: Sequence[ShownPrompt], mined: LastRun | None = None) -> None:
    """Print the prompts. Without any, print what is missing."""
    if not prompts and mined is None:
        Console().print("No prompts were found yet. Find them with: foreword jobs run discover")
        return
    if not prompts and mined is not None:
        hashed = f", {mined.hashed} of them without a text, which cannot be mined" if mined.hashed else ""
        text = f"No prompts yet. At {_day(mined.time_s)}, discover read {mined.records} records{hashed}."
        Console().print(f"{text} A prompt needs {NEEDED} with the same fixed text.", soft_wrap=True)
        Console().print("Requests without `user` and without a conversation id count by their days.", soft_wrap=True)
        return
    print_rows(("name", "id", "key", "state", "versions", *NUMBERS, "last seen"), map(_cells, prompts), right=NUMBERS)


def _cells(prompt: ShownPrompt) -> list[str]:
    use = prompt.use
    state = prompt.state
    figures = [str(use.requests), str(use.users or "?"), f"{use.tokens:.0f}", f"{use.cost:.4g}", f"{use.ms:.0f}"]
    return [
        prompt.name,
        prompt.id,
        prompt.key,
        state,
        str(len(prompt.versions)),
        *figures,
        _score(use),
        _day(use.last_s),
    ]


def print_waiting(waiting: Sequence[WaitingPrompt]) -> None:
    """Print the texts that are not prompts yet, because they were sent by too few users or on too few days."""
    if waiting:
        Console().print("\nNot shown as prompts yet. Fixed text needs ten requests from three users or on three days:")
        rows = ([one.key, str(one.requests), one.lacks, one.begins.replace("\n", " ")] for one in waiting)
        print_rows(("key", "requests", "has", "begins with"), rows, right=("requests",))


def print_prompt(prompt: ShownPrompt) -> None:
    console = Console()
    console.print(_facts(prompt))
    for message in prompt.messages:
        console.print(Panel(plain(message.text), title=plain(message.role, "bold"), title_align="left"))
    if prompt.contract is not None or prompt.contract_problem:
        print_contract(console, prompt)
    if not prompt.parts:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("part", "type", "longest", "examples"):
        table.add_column(column)
    for part in prompt.parts:
        values = " · ".join(_shortened(value) for value in part.values)
        table.add_row(plain(part.name), plain(part.type), str(part.longest), plain(values or "-"))
    console.print(table)


def print_contract(console: Console, prompt: ShownPrompt) -> None:
    """Print what the answers must keep to, or why the contract cannot be used."""
    lines = [prompt.contract_problem] if prompt.contract is None else list(claims(prompt.contract))
    title = f"answer contract, by {prompt.contract_by}" if prompt.contract_by else "answer contract"
    console.print(Panel(plain("\n".join(lines)), title=plain(title, "bold"), title_align="left"))


def _facts(prompt: ShownPrompt) -> Table:
    use = prompt.use
    models = ", ".join(f"{name} ({count})" for name, count in sorted(use.models.items(), key=lambda pair: -pair[1]))
    facts = {
        "prompt": f"{prompt.name} ({prompt.id}), {prompt.state}",
        "found at": f"key {prompt.key}, {prompt.endpoint}",
        "version": f"{prompt.version} of {', '.join(map(str, prompt.versions))}",
        "in use": f"{_day(use.first_s)} to {_day(use.last_s)}, {use.days} days",
        "requests": f"{use.requests} of {use.users or 'unknown'} users, {use.failed} failed",
        "models": models or "-",
        "per request": f"{use.tokens:.0f} tokens, {use.ms:.0f} ms",
        "cost": f"{use.cost:.4g} in all",
        "feedback": f"{_score(use)} ({use.scores} scores)",
    }
    if prompt.ambiguous:
        facts["read in several ways"] = f"{prompt.ambiguous} requests; only the identity may be sent for them"
    return facts_table(facts)


def _shortened(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= LONGEST_VALUE else line[: LONGEST_VALUE - 1] + "…"


def _score(use: ShownUse) -> str:
    return "-" if use.score is None else f"{use.score:.2f}"


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}" if seconds else "-"
