"""An exact `not` example never gets its intent, as an exact `match` example always does."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.prompt.classifier.classifier import Classifier
from gateway.prompt.classifier.labelled import Labelled
from gateway.prompt.classifier.model import ClassifierModel
from gateway.prompt.classifier.model_file import load, save
from gateway.prompt.classifier.train import Embedders, train
from gateway.prompt.library.library import build_library
from gateway.settings.prompt import PromptTable
from tests.doubles.small_library import library, seeds
from tests.doubles.templates import MATCH, template

NEAR = [
    "please refund order number 99",
    "Please refund the order number",
    "please refund order number 3?!",
    "please refund order number 4: it was not delivered",
    "what is a refund order number",
]


def model(*, alone: bool) -> ClassifierModel:
    own = template(not_=NEAR)
    others = [] if alone else [one for one in library().templates if one.language == "en"]
    labels = [Labelled(NEAR[1], "refund", "en")]
    return train(build_library([own, *others], []), Embedders(), seeds(), labels)


@pytest.fixture(scope="module", params=[False, True], ids=["among others", "alone"])
def classifier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    folder = tmp_path_factory.mktemp("model")
    save(model(alone=request.param), folder)
    return Classifier(load(folder), PromptTable())


@pytest.mark.parametrize("text", NEAR)
async def test_a_not_example_is_never_of_its_intent(classifier: Classifier, text: str) -> None:
    verdict = await classifier.verdict(text)
    assert verdict is not None and verdict[0].name != "refund"
    assert (await classifier.classify(text)).name != "refund"


@given(st.sampled_from(NEAR), st.sampled_from(["", ".", "!", "  "]), st.booleans())
@settings(max_examples=15)
async def test_letter_case_and_the_last_mark_make_no_difference(
    classifier: Classifier, text: str, mark: str, upper: bool
) -> None:
    assert (await classifier.classify(f" {text.upper() if upper else text}{mark}")).name != "refund"


@pytest.mark.parametrize("text", MATCH[:3])
async def test_a_match_example_is_always_of_its_intent(classifier: Classifier, text: str) -> None:
    intent = await classifier.classify(text)
    assert (intent.name, intent.confidence) == ("refund", 1.0)


async def test_another_intent_may_have_it(tmp_path: Path) -> None:
    trained = Classifier(train(library(), Embedders(), seeds()), PromptTable())
    verdict = await trained.verdict("translate this email")
    assert verdict is not None and verdict[0].name == "translate"
