import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prompt.classifier.labelled import Labelled, NotLabelled, read_labelled, write_labelled

ROWS = (Labelled("where is my card", "lost_card", "en"), Labelled("播放一首歌曲", "", "zh"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"text": "where is my card", "label": "lost_card"}\n\n{"text": "播放一首歌曲", "label": "oos"}\n'),
        ("a.json", json.dumps({"train": [["where is my card", "lost_card"]], "oos_train": [["播放一首歌曲", "oos"]]})),
        ("a.csv", "text,category\nwhere is my card,lost_card\n播放一首歌曲,none\n"),
    ],
)
def test_the_usual_files_of_labelled_prompts_are_read(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    assert read_labelled([tmp_path / name]) == ROWS


def test_in_a_file_of_the_out_of_scope_every_prompt_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "oos_val.jsonl").write_text('{"text": "how old is the moon", "label": "astronomy"}', "utf-8")
    assert read_labelled([tmp_path / "oos_val.jsonl"])[0].intent == ""


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("a.jsonl", '{"text": "x", "label": "y"}\n{"text": "x"}', "a.jsonl:2"),
        ("a.jsonl", "no json", "a.jsonl:1"),
        ("a.json", '{"train": 3}', "a.json"),
        ("a.csv", "query,label\nx,y\n", "a.csv:1"),
    ],
)
def test_another_file_is_refused_with_its_line(name: str, text: str, where: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(NotLabelled, match=where):
        read_labelled([tmp_path / name])


@given(st.text(min_size=1).filter(str.strip), st.sampled_from(["", "a", "中"]))
def test_what_is_kept_is_read_again(tmp_path_factory: pytest.TempPathFactory, text: str, intent: str) -> None:
    file = tmp_path_factory.mktemp("labels") / "labelled.jsonl"
    text = text.strip().encode("utf-8", "replace").decode()
    write_labelled([Labelled(text, intent)], file)
    assert [(row.text, row.intent) for row in read_labelled([file])] == [(text.strip(), intent)]
