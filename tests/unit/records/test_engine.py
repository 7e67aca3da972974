from pathlib import Path

import pytest

from gateway.errors import ConfigError, DatabaseFailed
from gateway.records.database import Database


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("records.db", "is not a database URL"),
        ("mysql://localhost/records", "'mysql' is not supported"),
        ("sqlite+nothing:///records.db", "its driver is missing"),
    ],
)
def test_a_wrong_url_is_a_mistake_in_the_configuration(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Database.open(url)


def test_a_file_that_is_no_database_is_a_failure_that_names_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "records.db"
    file.write_text("this is a letter to my grandmother, and no database at all " * 50)

    with pytest.raises(DatabaseFailed, match="not a database"):
        Database.open(f"sqlite:///{file}")
