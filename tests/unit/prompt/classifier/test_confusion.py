from gateway.prompt.classifier.confusion import Mistake, confusion

WANTED = ["card", "card", "card", "loan", "", ""]
GOT = ["card", "card", "loan", "loan", "", "card"]


def test_mistakes_are_counted_and_the_weakest_intents_come_first() -> None:
    found = confusion(WANTED, GOT)
    assert found.mistakes() == [Mistake("(none)", "card", 1), Mistake("card", "loan", 1)]
    assert [name for name, _, _ in found.weakest()] == ["(none)", "card", "loan"]
    assert "1  card -> loan" in found.text()
