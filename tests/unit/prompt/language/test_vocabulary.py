"""A language is a file of words: what a new one says is understood without any code."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prompt.language.values import Numbers
from gateway.prompt.language.vocabulary import FOLDER, VOCABULARY, folded, read_words
from gateway.prompt.language.wording import TaskWording
from gateway.prompt.templates.fields import Language

GERMAN = """
spaced = true
[task]
polite = ['bitte']
verbs = ['übersetze', 'fasse', 'erkläre']
pointers = ['diesen', 'diese', 'folgenden']
texts = ['text', 'nachricht', 'brief']
questions = ['was', 'welche']
about = ['folgenden']
kinds = ['absicht']
back = ['oben']
article = 'der'
[numbers]
digits = { zwei = 2, drei = 3 }
units = { hundert = 100 }
"""


def test_each_file_is_a_language_that_templates_may_name() -> None:
    assert (
        set(VOCABULARY.shipped)
        == {path.stem for path in FOLDER.glob("*.toml")}
        == {str(language) for language in Language}
    )


def test_a_new_file_is_understood(tmp_path: Path) -> None:
    (tmp_path / "de.toml").write_text(GERMAN, "utf-8")
    words = read_words(tmp_path)["de"]
    german = TaskWording(words)
    assert german.is_task("bitte fasse zusammen")
    assert german.is_task("was will der text")
    assert german.is_about("die nachricht")
    assert german.names_kind("welche absicht")
    assert german.points_back("der text oben")
    assert not german.is_task("die sonne scheint")
    assert Numbers(words).value("drei hundert zwei") == 302


def test_a_key_that_no_rule_reads_is_refused(tmp_path: Path) -> None:
    (tmp_path / "de.toml").write_text("[task]\nverb = ['gehe']\n", "utf-8")
    with pytest.raises(msgspec.ValidationError, match="unknown field `verb`"):
        read_words(tmp_path)


@given(st.text(max_size=80))
def test_lower_case_keeps_every_character_at_its_place(text: str) -> None:
    assert len(folded(text)) == len(text)
