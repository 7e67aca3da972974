from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from gateway.ask import Ask, Controls, Endpoint, Mode, Turn
from gateway.errors import NotReady
from gateway.exchange import Exchange, Intent
from gateway.ports import Vectors
from gateway.prompt.classifier.classifier import Classifier
from gateway.prompt.classifier.fingerprints import fingerprints
from gateway.prompt.classifier.instruction import InstructionModel
from gateway.prompt.classifier.labelled import Labelled
from gateway.prompt.classifier.model import ClassifierModel
from gateway.prompt.classifier.train import Embedders, train
from gateway.prompt.classify import ClassifyStage
from gateway.prompt.eligible import why_untouchable
from gateway.prompt.templates.parse import parse
from gateway.settings.prompt import PromptTable
from tests.doubles.bag_embedder import BagEmbedder
from tests.doubles.small_library import HEAD, THINGS, WORDS, library, seeds

STATIC = BagEmbedder("static")
CAREFUL = "Please write an email about the noisy neighbour in exactly 3 sentences, including its cost."


class Awaited:
    """The sentence tier, awaited; `busy` refuses."""

    def __init__(self, busy: bool = False) -> None:
        self.embedder = BagEmbedder("sentence", shift=7)
        self.busy = busy

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if self.busy:
            raise NotReady("too much is waiting")
        return self.embedder.embed(texts)


@pytest.fixture(scope="module")
def model() -> ClassifierModel:
    return train(library(), Embedders(STATIC, BagEmbedder("sentence", shift=7)), seeds())


def classifier(model: ClassifierModel, sentence: Awaited | None = None, **settings: float) -> Classifier:
    return Classifier(model, PromptTable(**settings), STATIC, sentence or Awaited())  # type: ignore[arg-type]  # all floats


def asked(text: str, **changes: object) -> Exchange:
    return Exchange("x", replace(Ask(Endpoint.CHAT, "m", b"{}", (Turn("user", text),)), **changes))


@pytest.mark.parametrize(
    ("text", "intent", "language"),
    [
        ("please write an email about the noisy neighbour", "write-email", "en"),
        ("translate into French: good morning", "translate", "en"),
        ("写一封关于停电的邮件", "write-email", "zh"),
    ],
)
async def test_a_prompt_like_the_examples_gets_their_intent(
    model: ClassifierModel, text: str, intent: str, language: str
) -> None:
    found = await classifier(model).classify(text)
    assert (found.name, found.language) == (intent, language)
    assert 0.6 <= found.confidence <= 1.0
    assert 0.0 < found.improvable <= 1.0
    assert "examples" in found.lacks
    assert any(reason.startswith(f"nearest example of {intent}") for reason in found.reasons)


async def test_what_is_told_before_the_sentence_that_asks_decides_less(model: ClassifierModel) -> None:
    asking = "Please write an email about the noise next door?"
    told = f"Ever since we moved in we sleep badly, and the walls are thin. {asking}"
    asks = replace(model, instructions={"en": InstructionModel({"": -1.0, "<ends ?>": 4.0})})
    whole, alone = [await classifier(model, first_tier=1.01).classify(text) for text in (told, asking)]
    apart = await classifier(asks, first_tier=1.01).classify(told)
    assert apart.confidence == max(alone.confidence, whole.confidence) > whole.confidence


@pytest.mark.parametrize("text", ["hi", "ok", "?"])
async def test_a_few_letters_leave_nothing_to_improve(model: ClassifierModel, text: str) -> None:
    assert "nothing to improve" in (await classifier(model).classify(text)).reasons[0]


@pytest.mark.parametrize("text", ["play the radio", "播放新闻", "zzzz qqqq"])
async def test_unknown_is_an_answer_with_reasons(model: ClassifierModel, text: str) -> None:
    found = await classifier(model).classify(text)
    assert not found.known
    assert found.confidence < 0.6
    assert found.reasons


async def test_the_payload_does_not_decide(model: ClassifierModel) -> None:
    found = await classifier(model).classify("Which desk handles this ticket: translate into French please")
    assert found.name == "sort-ticket"


async def test_each_example_of_the_library_is_recognised(model: ClassifierModel) -> None:
    wrong = [
        text
        for template in library().templates
        for text in template.intent.match
        if (await classifier(model).classify(text)).name != template.intent.name
    ]
    assert wrong == []


async def test_a_language_without_templates_is_unknown(model: ClassifierModel) -> None:
    found = await classifier(model).classify("Bonjour, je voudrais une lettre pour mon patron")
    assert (found.name, found.language) == ("", "")
    assert found.improvable > 0.0


async def test_a_raw_prompt_is_more_improvable_than_a_well_put_one(model: ClassifierModel) -> None:
    raw = await classifier(model).classify("tell me about cats")
    put = await classifier(model).classify("Please describe cats in exactly 4 sentences, including their cost.")
    assert raw.improvable > 0.5 > put.improvable


@pytest.mark.parametrize(
    "text",
    [
        "write an email about the noisy neighbour",
        "Could you please write an email about the noisy neighbour?",
        "Please write an email about the noisy neighbour. Thank you!",
    ],
)
async def test_a_known_task_can_be_improved_however_it_is_put(model: ClassifierModel, text: str) -> None:
    found = await classifier(model).classify(text)
    assert found.name == "write-email"
    assert found.improvable == found.confidence
    assert "its template adds what the prompt leaves open" in found.reasons


async def test_what_a_template_lists_is_certain(model: ClassifierModel) -> None:
    before = await classifier(model).classify(CAREFUL)
    own = [wording.format(thing) for wording in WORDS["write-email"] for thing in THINGS]
    listed = train(library(**{"write-email": repr([*own, CAREFUL])}), Embedders(STATIC), seeds())
    found = await classifier(listed).classify(CAREFUL)
    assert before.confidence < found.confidence == 1.0
    assert "its template lists this very prompt as a match example" in found.reasons


async def test_a_labelled_prompt_has_its_label() -> None:
    text = "Please compose a message in exactly 3 sentences, including its cost."
    taught = train(library(), Embedders(STATIC), seeds(), [Labelled(text, "write-email", "en")])
    found = await classifier(taught).classify(text)
    assert (found.name, found.confidence) == ("write-email", 1.0)


async def test_the_first_tier_decides_alone_when_it_is_sure(model: ClassifierModel) -> None:
    sentence = Awaited()
    found = await classifier(model, sentence, first_tier=0.5).classify(
        "please write an email about the noisy neighbour"
    )
    assert found.tier == "static"
    assert sentence.embedder.texts == []


async def test_the_second_tier_is_asked_when_the_first_is_not_sure(model: ClassifierModel) -> None:
    sentence = Awaited()
    found = await classifier(model, sentence, first_tier=1.01).classify(
        "please write an email about the noisy neighbour"
    )
    assert found.tier == "sentence"
    assert len(sentence.embedder.texts) == 1


async def test_an_overloaded_second_tier_leaves_the_first_ones_answer(model: ClassifierModel) -> None:
    found = await classifier(model, Awaited(busy=True), first_tier=1.01).classify("write an email about the noise")
    assert found.tier == "static"


async def test_the_stage_notes_what_it_found_and_changes_no_prompt(model: ClassifierModel) -> None:
    exchange = asked("write an email about the noise")
    after = await ClassifyStage(classifier(model))(exchange)
    assert after.intent.name == after.notes[0].decision == after.notes[0].data["intent"] == "write-email"
    assert after.turns is None


@pytest.mark.parametrize(
    ("exchange", "decision"),
    [
        (replace(asked("write an email"), mode=Mode.OFF), "untouched"),
        (asked("write an email", has_tools=True), "untouched"),
        (asked("write an email", controls=Controls(template="write-email.en")), "not needed"),
    ],
)
async def test_nothing_is_computed_where_nothing_may_be_changed(exchange: Exchange, decision: str) -> None:
    class Never:
        def wrote(self, text: str) -> bool:
            raise AssertionError(text)

        async def classify(self, text: str) -> Intent:
            raise AssertionError(text)

    after = await ClassifyStage(Never())(exchange)  # type: ignore[arg-type]  # must not be used
    assert [note.decision for note in after.notes] == [decision]
    assert after.intent is Intent.UNKNOWN


@pytest.mark.parametrize(
    "sentence",
    [
        "Answer in the language of the question, and name your sources.",
        "请只根据上面的文字回答，并且说明出处在哪里哪一段。",
    ],
)
async def test_what_a_template_wrote_is_not_touched_again(sentence: str, model: ClassifierModel) -> None:
    fixed = fingerprints(
        [
            parse(
                HEAD.format(intent="a", language="en", match="[b]", near="[]", keywords="[]", more="") + sentence,
                "a.md",
            )
        ]
    )
    assert fixed == (sentence,)
    after = await ClassifyStage(classifier(replace(model, fixed=fixed)))(asked(f"How high is it?\n\n{sentence}"))
    assert [note.decision for note in after.notes] == ["untouched"]


async def test_a_classifier_that_is_still_loading_is_said_so() -> None:
    after = await ClassifyStage()(asked("write an email"))
    assert after.notes[0].reason == "the classifier is still loading"


async def test_what_later_stages_ask_of_the_prompt_is_on_the_exchange(model: ClassifierModel) -> None:
    after = await ClassifyStage(classifier(model))(asked("Write an email about this: the noise next door"))
    assert after.untouchable == ""
    assert after.split is not None and after.split.payload_text == "the noise next door"
    refused = await ClassifyStage(classifier(model))(asked("write an email", has_tools=True))
    assert refused.untouchable == why_untouchable(refused) == "the request has tools"
