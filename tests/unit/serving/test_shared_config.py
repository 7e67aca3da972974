"""The file by which gateways with one data folder take each other's configuration."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.serving.shared_config import FILE, SharedConfig


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text("")
    return tmp_path / "config.toml"


def test_what_one_gateway_takes_the_others_see_once(tmp_path: Path, config: Path) -> None:
    one, other = SharedConfig(tmp_path, config), SharedConfig(tmp_path, config)
    for text in ("a = 1", "b = 2", "b = 2", None, None, "c = 3"):
        before = other.text()
        one.put(text)
        assert other.changed() is (text != before) and other.text() == text
        assert not one.changed() and not other.changed()


def test_a_gateway_that_is_overtaken_while_it_writes_sees_the_other_configuration(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = SharedConfig(tmp_path, config)
    monkeypatch.setattr("gateway.serving.shared_config.write_whole", lambda file, _: file.write_text("of the other"))

    one.put("own")

    assert one.changed() and one.text() == "of the other"


@pytest.mark.parametrize("content", [b"\xff", None])
def test_a_file_that_cannot_be_read_is_told_as_a_mistake(tmp_path: Path, config: Path, content: bytes | None) -> None:
    shared = SharedConfig(tmp_path, config)
    if content is None:
        (tmp_path / FILE).mkdir()
    else:
        (tmp_path / FILE).write_bytes(content)

    assert shared.changed()
    with pytest.raises(ConfigError, match="cannot be read"):
        shared.text()
    if content is not None:
        shared.put("a = 1")
        assert shared.text() == "a = 1"
