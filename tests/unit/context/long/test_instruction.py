"""Where the client's own words end and the text begins."""

import time

import pytest

from gateway.context.long.instruction import instruction_of

TEXT = "The ship left the harbour at dawn. Nobody waved.\n\nAnna stood at the rail, and the gulls followed for hours."
TABLE = "id,name,amount\n" + "\n".join(f"{n},Customer {n},{n * 3}" for n in range(30))
CODE = "def load(path):\n    return open(path).read()\n\n\ndef save(path, text):\n    open(path, 'w').write(text)"
TEXT_ZH = "船在黎明离港，没有人挥手。\n\n安娜站在栏杆旁，海鸥跟了几个小时。"


@pytest.mark.parametrize("text", [TEXT, TABLE, CODE])
@pytest.mark.parametrize(
    "frame",
    [
        "Translate this into French.\n\n{text}",
        "{text}\n\nTranslate this into French.",
        "Translate this into French.\n{text}",
        "Translate this into French:\n{text}",
        "Translate this into French: {text}",
        "Translate this into French.\n\n```\n{text}\n```",
        'Translate this into French.\n\n"""\n{text}\n"""',
        "<document>\n{text}\n</document>\n\nTranslate this into French.",
        "Here is the text:\n\n{text}\n\nTranslate this into French.",
    ],
)
def test_the_text_is_whole_and_the_task_is_outside(text: str, frame: str) -> None:
    message = frame.format(text=text)
    found = instruction_of(message)
    assert "Translate this into French" in found.task
    assert text.strip() in message[found.start : found.end]
    assert "Translate" not in message[found.start : found.end]


@pytest.mark.parametrize(
    "frame", ["请翻译成英文。\n\n{text}", "{text}\n\n请翻译成英文。", "翻译成英文：{text}", "请翻译成英文。\n{text}"]
)
def test_in_chinese_too(frame: str) -> None:
    message = frame.format(text=TEXT_ZH)
    found = instruction_of(message)
    assert "翻译成英文" in found.task
    assert message[found.start : found.end].strip() == TEXT_ZH


def test_a_text_alone_has_no_task() -> None:
    assert instruction_of(TEXT).task == ""
    assert instruction_of(TABLE).task == ""


@pytest.mark.parametrize(
    "text",
    [
        '"""Loads files."""\n\n' + "\n\n".join(
            f'def load_{n}(path):\n    """Return the text."""\n    size, count = path.size, path.count\n    return 1'
            for n in range(9)
        ),
        "\n".join(f"Anna: he said the boat number {n} was late, and could we wait?" for n in range(20)),
        "\n\n".join(f"{n}\n00:00:{n},000 --> 00:00:{n},900\nTom: why should we do that?" for n in range(10, 30)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("task", ["Who pays for the boat?", "What is going on in here?", "Give me the short version."])
def test_a_task_is_what_is_written_in_another_way_than_the_text(text: str, task: str) -> None:
    assert instruction_of(f"{text}\n\n{task}").task == task
    assert instruction_of(f"{task}\n\n{text}").task == task


def test_lines_that_only_introduce_a_speech_do_not_belong_to_the_task() -> None:
    talk = "\n".join(f"Anna: and then number {n} said:" for n in range(20))
    assert instruction_of(f"Translate this into French.\n\nAnna: she said:\n\n{talk}").task == (
        "Translate this into French."
    )


@pytest.mark.parametrize(
    "text",
    ["Use the command ```ls``` or ```cd```\n" + "and so on, " * 8 + "\n", "=" * 3000 + "\n" + "A line.\n" * 3],
)
def test_marks_that_open_and_never_close_take_no_quadratic_time(text: str) -> None:
    began = time.process_time()
    message = "Translate this into French.\n\n" + (text * 3000 if "```" in text else text + "A line.\n" * 20_000)
    found = instruction_of(message)
    assert time.process_time() - began < 2
    assert found.task == "Translate this into French."


def test_a_long_line_of_dashes_takes_no_quadratic_time() -> None:
    began = time.process_time()
    instruction_of("-" * 100_000)
    assert time.process_time() - began < 2
