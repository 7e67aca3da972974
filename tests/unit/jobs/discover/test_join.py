"""Which mined shapes are joined, and that many constant texts take little time."""

from hashlib import sha256
from random import Random

from gateway.prompt.found.shape import TextShape
from offline_jobs.discover.frame import MinedShape, MinedShapes
from offline_jobs.discover.join import merged
from offline_jobs.discover.sample import SampleText

START = "Sort this ticket of our bank into one of our desks, please: "
WORDS = ("card", "loan", "rate")


def mined(pieces: tuple[str, ...], texts: tuple[str, ...], first_s: float = 0.0) -> MinedShape:
    members = tuple(SampleText(text, 5, first_s, first_s + 100.0, [1, 2, 3], [1, 2, 3]) for text in texts)
    return MinedShape(TextShape(pieces), members)


WIDE = mined((START, ""), tuple(START + word for word in WORDS))
NARROW = mined((f"{START}loan ", ""), tuple(f"{START}loan {word}" for word in WORDS), 1.0)


def test_a_shape_takes_the_texts_of_a_narrower_one() -> None:
    (joined,) = merged([WIDE, NARROW])
    assert joined.shape == WIDE.shape
    assert {member.text for member in joined.members} == {
        member.text for one in (WIDE, NARROW) for member in one.members
    }


def test_a_shape_takes_several_narrower_ones_and_constant_texts() -> None:
    constant = mined((f"{START}I lost it",), (f"{START}I lost it",), 2.0)
    narrowest = mined((f"{START}loan of ", ""), tuple(f"{START}loan of {word}" for word in WORDS), 1.0)
    (joined,) = merged([constant, WIDE, narrowest, NARROW])
    assert joined.shape == WIDE.shape
    assert len(joined.members) == 10


def test_shapes_that_have_nothing_in_common_all_stay() -> None:
    other = mined(
        ("Translate this for the customer, word by word: ", ""),
        tuple(f"Translate this for the customer, word by word: {w}" for w in WORDS),
    )
    texts = [sha256(str(at).encode()).hexdigest() for at in range(50)]
    questions = [mined((text,), (text,)) for text in texts]
    assert len(merged([WIDE, other, *questions])) == 52


def test_the_first_shape_that_fits_is_found_whether_it_is_constant_or_not() -> None:
    text = f"{START}card"
    constant = mined((text,), (text,))
    assert MinedShapes([WIDE, constant]).first(text) is WIDE
    assert MinedShapes([constant, WIDE]).first(text) is constant
    assert MinedShapes([constant, WIDE]).first(f"{START}rate") is WIDE
    assert MinedShapes([constant, NARROW]).first("anything") is None


def test_the_first_shape_is_found_as_if_all_were_tried() -> None:
    random = Random(5)
    words = ["", "a", "Translate: ", "Translate this: ", "Answer:", "\nAnswer in one word:", "b", "Translate: a"]
    shapes = [
        MinedShape(TextShape(tuple(random.choice(words) for _ in range(random.randint(1, 3)))), ()) for _ in range(300)
    ]
    for _ in range(2_000):
        some = random.sample(shapes, random.randint(1, 40))
        text = "".join(random.choice(words) for _ in range(random.randint(1, 5)))
        tried = next((one for one in some if one.shape.values(text) is not None), None)
        found = MinedShapes(some).first(text)
        assert (found and found.shape) == (tried and tried.shape)
