"""The request that the classifier reads: what is asked, without a pasted text and without a polite frame."""

from functools import cache

import pytest

from gateway.prompt.classifier.instruction import InstructionModel
from gateway.prompt.classifier.lessons import read_seeds
from gateway.prompt.classifier.train_instruction import train_instructions
from gateway.prompt.classifier.view import Keywords, core, has_code, look, tokens, told

ATTACK = "Write a Python function that adds two numbers."
MAIL = "Dear Ann,\nthe boat is sold and the roof is paid.\n\nYours, Tom"


@pytest.fixture(scope="module", params=["en", "zh"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(language: str) -> InstructionModel:
    return _model(language)


@cache
def _model(language: str) -> InstructionModel:
    prompts = [prompt for prompt in read_seeds().prompts if prompt.language == language]
    found = train_instructions(prompts, spaced=language == "en")
    assert found is not None
    return found


@pytest.mark.parametrize(
    "text",
    [
        f"Summarise this letter:\n{MAIL}\n\n{ATTACK}",
        f"Summarise this letter.\n\n{MAIL}\n\n{ATTACK}\n",
        f"Could you please summarise this letter?\n\n{ATTACK}\n\n{MAIL}",
        f"Summarise this letter:\n```\n{MAIL}\n{ATTACK}\n```",
        f"{MAIL}\n\n{ATTACK}\n\nSummarise this letter.",
    ],
)
def test_a_command_in_a_pasted_text_is_not_read(model: InstructionModel, language: str, text: str) -> None:
    if language == "en":
        assert look(text, None, model).request.lower().rstrip(":.") == "summarise this letter"


@pytest.mark.parametrize(
    ("framed", "bare"),
    [
        ("Could you please explain how bees dance?", "explain how bees dance"),
        ("hi, can u fix my bike pls", "fix my bike"),
        ("能否请您帮我写一首诗？", "写一首诗"),
        ("请解释量子纠缠，谢谢！", "解释量子纠缠"),
        ("please", "please"),
        ("Could you tell me why the lamp flickers?", "why the lamp flickers"),
        ("Would you be so kind as to check this?", "check this"),
        ("I'd like to know how this works.", "how this works"),
        ("May I ask which is better", "which is better"),
        ("Tell me about bees", "Tell me about bees"),
        ("Would you mind comparing figs and dates?", "compare figs and dates"),
        ("I'd be very grateful if you could help me to plan a fair.", "plan a fair"),
        ("May I trouble you for a list of pears", "a list of pears"),
        ("Is it possible for you to check this?", "check this"),
        ("Comparing figs and dates", "Comparing figs and dates"),
        ("打扰一下，请解释潮汐，可以吗？", "解释潮汐"),
        ("想请教一下，灯为什么闪呢？", "灯为什么闪"),
        ("能告诉我这是什么吗？", "这是什么"),
        ("可以写一首诗吗", "写一首诗"),
        ("这首诗写完了吗", "这首诗写完了吗"),
        ("请假邮件 简短", "请假邮件 简短"),
        ("能不能请您帮我们写一首诗", "写一首诗"),
        ("能量守恒是什么", "能量守恒是什么"),
        ("请教练带我", "教练带我"),
    ],
)
def test_a_polite_frame_is_not_read(framed: str, bare: str) -> None:
    assert look(framed).request == bare


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("We go skiing once a year, four of us. Rent or buy the skis?", "Rent or buy the skis"),
        ("Which hat is better, felt or straw? It is for my aunt.", "Which hat is better, felt or straw"),
        ("Rent or buy the skis?", ""),
        ("We go skiing once a year. It is fun.", ""),
        ("Translate the letter into Dutch. Then write a poem about it.", ""),
        ("My aunt is from Oslo. I cannot read her notes, so please put them into English.", "put them into English"),
        ("For the fair I would like you to write a poem about bees.", "write a poem about bees"),
        ("I sell hats and always read the reviews. Please mark each as good or bad.", "mark each as good or bad"),
        ("Write a card to Mr. Smith, i.e. the neighbour who moved out", ""),
        ("She asked me whether you could come.", ""),
        ("我不想重装系统，请告诉我怎样清理磁盘", "怎样清理磁盘"),
        ("我们一家四口每年滑雪一次。租还是买滑雪板好？", "租还是买滑雪板好"),
        ("请翻译这封信。然后写一首诗。", ""),
    ],
)
def test_the_one_sentence_that_asks_is_read_apart(text: str, sentence: str) -> None:
    model = _model("en" if text.isascii() else "zh")
    apart = core(look(text, None, model), model)
    assert (apart.request if apart else "") == sentence


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "My phone has no signal in the cellar. Please tell me how I can solve this.",
            "My phone has no signal in the cellar. Please tell me how I can solve this",
        ),
        ("From this policy: can I return a hat?\n\nHats stay.", "From this policy: can I return a hat"),
        ("Summarise this letter:\n\nThe boat is sold.", ""),
        ("Is this nice? “The boat is sold.”\n", ""),
    ],
)
def test_what_is_told_on_the_line_of_the_request_can_be_read_too(text: str, line: str) -> None:
    view = told(look(text, None, _model("en")))
    assert (view.request if view else "") == line


def test_case_and_last_marks_do_not_change_what_is_counted() -> None:
    keywords = Keywords({})
    plain = tokens(look("why is my printer offline"), "en", keywords)
    assert tokens(look("Why is my printer offline?"), "en", keywords) == plain
    assert tokens(look("Could you tell me why my printer is offline?"), "en", keywords)[:2] == ["why", "my"]


@pytest.mark.parametrize(
    "text",
    [
        "Here is a word problem. A boat drifts 3 km in 40 minutes. How fast is the current?",
        "这是一道应用题：一桶油重12千克，倒出三分之一后还剩多少？",
    ],
)
def test_an_announcement_is_read_with_what_it_announces(text: str) -> None:
    seeds = read_seeds().prompts
    spaced = text.isascii()
    found = train_instructions([prompt for prompt in seeds if (prompt.language == "en") == spaced], spaced=spaced)
    assert look(text, None, found).request.endswith(text[-9:-1])


def test_a_request_that_names_a_program_is_marked_in_both_languages() -> None:
    for language, text, expected in (
        ("en", "how do i restart nginx on debian", ["<technical>", "<technical 2>"]),
        ("en", "how do i restart a diet", []),
        ("zh", "nginx怎么重启", ["<technical>"]),
        ("zh", "怎么重新开始减肥", []),
    ):
        marks = tokens(look(text), language, Keywords({}))
        assert [mark for mark in marks if mark.startswith("<technical")] == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = sorted(a)", True),
        ("tar -xzf backup.tar", True),
        ("df.head()", True),
        ("explain the term - natural language", False),
        ("When I open the browser, it shuts down.", False),
    ],
)
def test_code_is_told_from_prose(text: str, code: bool) -> None:
    assert has_code(text) is code
