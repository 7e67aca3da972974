"""Variants of local models over HTTP: listed, shown, and removed by an admin unless the configuration names them."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.backends.local.variants import Perplexities, VariantManifest, variants_folder, write_manifest
from tests.doubles.gguf import described
from tests.doubles.process import GatewayProcess

CONFIG = """
[backends.named]
kind = "llamacpp"
name = "named"
variant = "used"
[prompt]
templates = []
[keys.app]
secret = "app-key"
[keys.admin]
secret = "admin-key"
admin = true
[records]
policy = "none"
"""
ADMIN, APP = {"authorization": "Bearer admin-key"}, {"authorization": "Bearer app-key"}


def make_variant(data: Path, name: str) -> None:
    folder = variants_folder(data) / name
    folder.mkdir(parents=True)
    described(folder / "model.gguf")
    figures = Perplexities(10.0, 10.0)
    manifest = VariantManifest(
        name, "m.gguf", "0" * 64, "1" * 64, "llama", ("int8-channel",), {}, {}, figures, figures, 0.0, 0.03, 1, 2
    )
    write_manifest(folder, manifest)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    for name in ("used", "free"):
        make_variant(tmp_path / "data", name)
    process = GatewayProcess(tmp_path, CONFIG)
    try:
        process.wait("/health/live")
        yield process
    finally:
        process.stop()


def test_variants_are_listed_shown_and_removed(gateway: GatewayProcess) -> None:
    url = f"{gateway.url}/v1/foreword/engines/variants"
    assert httpx.get(url, headers=APP).status_code == 403
    assert [row["name"] for row in httpx.get(url, headers=ADMIN).json()["data"]] == ["free", "used"]
    assert httpx.get(f"{url}/free", headers=ADMIN).json()["scheme"] == ["int8-channel"]
    assert "there are: free, used" in httpx.get(f"{url}/absent", headers=ADMIN).json()["error"]["message"]
    refused = httpx.delete(f"{url}/used", headers=ADMIN)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "variant_in_use")
    assert httpx.delete(f"{url}/free", headers=ADMIN).json()["deleted"] is True
    assert [row["name"] for row in httpx.get(url, headers=ADMIN).json()["data"]] == ["used"]
