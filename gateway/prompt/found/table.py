"""Holds the found prompts in a worker. The file is read again after each change, on another thread."""

import asyncio
import logging
from pathlib import Path

from gateway.context.embedding.batcher import Batcher
from gateway.errors import ForewordError
from gateway.prompt.found.adopt import FoundTemplate, NotAdopted, identity
from gateway.prompt.found.found_prompt import FoundPrompt, PromptState
from gateway.prompt.found.frozen import WrongTemplate, refuse_changes
from gateway.prompt.found.index import PromptIndex
from gateway.prompt.found.nearest import FoundPools
from gateway.prompt.found.store import FoundFile, read_found
from gateway.prompt.found.templates import NoSuchVersion, read_template

log = logging.getLogger("foreword.found")

LOOK_EVERY_S = 0.5


class FoundTable:
    """The index of the prompts in the file. While the file is broken, the last good index stays in use.

    `batcher` embeds the nearest examples of the versions that are sent.
    """

    def __init__(self, path: Path, batcher: Batcher | None = None) -> None:
        self.index = PromptIndex()
        self.spoken: dict[str, FoundTemplate] = {}
        """The template versions that are sent, by the id of the prompt."""
        self.beneath: dict[str, FoundTemplate] = {}
        """The versions that conversations get which do not take part in a trial, by the id of the prompt."""
        self.pools = FoundPools(batcher, path.parent / "vectors")
        self._problem = ""
        self._path = path
        self._stamp: tuple[int, int, int] | None = None

    @property
    def problem(self) -> str:
        """What is wrong with the file or with the versions that are sent, or ""."""
        return "; ".join(filter(None, (self._problem, self.pools.problem)))

    def refresh(self) -> None:
        """Read the file if it has changed, and embed the examples of the versions that are sent. This call blocks."""
        stamp = self._looked_at()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self.use(read_found(self._path))
            except (OSError, ForewordError) as error:
                self._problem = f"found prompts are not read again, the last ones stay in use: {error}"
                log.error(self._problem)
        # also where the file has not changed: an embedder that failed may work now
        self.pools.refresh((*self.spoken.values(), *self.beneath.values()))

    def use(self, content: FoundFile) -> None:
        """Recognise these prompts from now on."""
        index = PromptIndex(content.prompts)
        left_out = index.left_out
        problems = [f"{left_out} found prompts begin and end alike, and are not recognised"] if left_out else []
        spoken: dict[str, FoundTemplate] = {}
        beneath: dict[str, FoundTemplate] = {}
        for prompt in content.prompts:
            if prompt.spoken is not None and prompt.state is PromptState.ADOPTED:
                try:
                    spoken[prompt.id] = _checked(self._path.parent.parent, prompt, prompt.spoken.version)
                    if prompt.spoken.beneath:
                        below = _checked(self._path.parent.parent, prompt, prompt.spoken.beneath)
                        # a version for an earlier text of the application does not fit its requests
                        beneath |= {prompt.id: below} if below.base == spoken[prompt.id].base else {}
                except (NoSuchVersion, WrongTemplate, NotAdopted) as error:
                    problems.append(f"{prompt.name} goes on as it came: {error}")
        self._problem = "; ".join(problems)
        self.spoken = spoken
        self.beneath = beneath
        self.index = index

    async def watch(self) -> None:
        """Read the file now, and again after each change, for as long as the gateway runs."""
        while True:
            await asyncio.to_thread(self.refresh)
            await asyncio.sleep(LOOK_EVERY_S)

    def _looked_at(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _checked(data_folder: Path, prompt: FoundPrompt, version: int) -> FoundTemplate:
    """Read a version, and refuse it if it has lost fixed text or is another prompt's. A file may have been edited or
    copied by hand.
    """
    template = read_template(data_folder, prompt.id, version)
    if (template.prompt, template.key) != (prompt.id, prompt.key):
        raise WrongTemplate(f"version {version} was made for another prompt or another key")
    if not template.unlocked:
        own = next((one for one in prompt.versions if one.number == template.base), None)
        refuse_changes(template, identity(prompt, own), prompt)
    return template
