"""What a bare gateway loads: remote backends only, so nothing heavy."""

import subprocess
import sys
from pathlib import Path

HEAVY = "torch transformers sentence_transformers chromadb sklearn numpy xllamacpp sqlalchemy httpx opentelemetry.sdk"
LOOK = """
import sys
from pathlib import Path
from gateway.assembly.assemble import assemble
from gateway.server.app import application
from gateway.settings.read import load
application(assemble(load(Path(sys.argv[1]))))
print(" ".join(name for name in sys.argv[2].split() if name in sys.modules))
"""


def test_a_bare_gateway_starts_without_anything_heavy(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[backends.a]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["*"]\n', "utf-8")

    done = subprocess.run([sys.executable, "-c", LOOK, str(config), HEAVY], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []
