"""The files in `deploy/`: they parse by their own formats' schemas, and agree with each other and with the code."""

from pathlib import Path
from typing import Any

import compose_spec
import kubernetes_validate
import pytest
import yaml

from gateway.adapters import problems_of
from gateway.settings.read import read_file
from gateway.settings.tables import Settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ENVIRONMENT = {
    "FOREWORD_SECRET": "secret",
    "FOREWORD_ADMIN_SHA256": "a" * 64,
    "FOREWORD_DATABASE": "postgresql+psycopg://foreword:x@postgres/foreword",
    "OPENAI_API_KEY": "sk-x",
}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "templates").mkdir()
    config = (DEPLOY / "config.toml").read_text().replace("/app/templates", str(tmp_path / "templates"))
    (tmp_path / "config.toml").write_text(config.replace('"/data"', f'"{tmp_path}/data"'))
    read, problems = read_file(tmp_path / "config.toml")
    assert read is not None
    assert [str(problem) for problem in [*problems, *problems_of(read)]] == []
    return read


def manifests() -> list[dict[str, Any]]:
    return [
        each for file in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for each in yaml.safe_load_all(file.read_text())
    ]


def test_the_manifests_are_what_kubernetes_accepts() -> None:
    kinds = []
    for manifest in manifests():
        kubernetes_validate.validate(manifest, "1.34", strict=True)
        kinds.append(manifest["kind"])
    assert kinds.count("Deployment") == 2


def test_the_compose_file_is_what_compose_accepts() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    services = compose_spec.PyOptions().from_yaml(text).service_names
    names = set(services() if callable(services) else services)
    assert {"gateway", "redis", "postgres", "chroma"} <= names
    with pytest.raises(Exception, match=r"(?i)imag"):
        compose_spec.PyOptions().from_yaml(text.replace("image: redis", "imag: redis"))


def test_probes_and_ports_are_those_of_the_configuration(settings: Settings) -> None:
    server = settings.server
    (deployment,) = [
        each for each in manifests() if each["metadata"]["name"] == "foreword" and each["kind"] == "Deployment"
    ]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "http": server.port,
        "health": server.port + 1,
    }
    assert pod["terminationGracePeriodSeconds"] > server.drain_notice_s + server.drain_s + 15
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert int(compose["gateway"]["stop_grace_period"].rstrip("s")) > server.drain_notice_s + server.drain_s + 15
    assert f":{server.port + 1}/health/live" in compose["gateway"]["healthcheck"]["test"][-1]
    assert server.drain_notice_s >= 2 * container["readinessProbe"]["periodSeconds"]


def test_every_secret_is_set_from_outside_in_both(settings: Settings) -> None:
    gateway = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["gateway"]
    assert set(gateway["environment"]) == set(ENVIRONMENT)
    assert all("${" in value for value in gateway["environment"].values())
