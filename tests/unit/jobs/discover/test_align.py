"""Which pieces texts share, and what must stay a part."""

from offline_jobs.discover.align import aligned


def test_a_few_strangers_do_not_hide_what_the_others_share() -> None:
    texts = [f"Sentence {word}.\nIs that a paraphrase of the next one?\n{word} sentence .?\n" for word in WORDS]
    strangers = ["short one .\nIs that a paraphrase of the next one?\nin Texas?\n"]
    shape = aligned([*strangers, *texts])
    assert "\nIs that a paraphrase of the next one?\n" in shape.pieces
    assert all(shape.values(text) is not None for text in texts)


def test_numbers_are_not_cut_in_two() -> None:
    shape = aligned([f"You have {number} points." for number in (170, 171, 172, 179, 1700, 17)])
    assert shape.pieces == ("You have ", " points.")


def test_a_date_is_a_part_as_long_as_it_may_be_todays() -> None:
    texts = [f"Today is 2026-11-29. Sort this ticket: {word}" for word in WORDS]
    assert aligned(texts).pieces[0] == "Today is "
    assert aligned(texts, dates_vary=False).pieces[0] == "Today is 2026-11-29. Sort this ticket: "


def test_items_of_a_list_are_no_fixed_text() -> None:
    texts = ["Rank these:\n" + "- item\n" * (at % 4) + f"- {word}\n" for at, word in enumerate(WORDS)]
    shape = aligned(texts)
    assert shape.pieces[0].startswith("Rank these:\n")
    assert all(shape.values(text) is not None for text in texts)


def test_a_line_behind_a_number_does_not_hide_the_text_that_follows() -> None:
    rest = "Sort each ticket by its topic.\nAnswer with the name of the topic alone."
    added = "Name the source of each claim."
    texts = [f"version: 2,\n{line}{rest}\n\n{word}" for word in WORDS for line in ("", f"{added}\n")]
    shape = aligned(texts)
    assert shape.pieces == ("version: 2,\n", f"{rest}\n\n", "")
    assert all(shape.values(text) is not None for text in texts)


def test_a_line_that_is_left_out_does_not_hide_the_text_that_follows() -> None:
    head, rest = "Describe them.\nTheir purpose in life:\n", "How they look:\n(add other attributes)\n\n# INPUT\n\n"
    texts = [f"{head}{line}{rest}{word}" for word in WORDS for line in ("Their favourite phrases:\n", "")]
    shape = aligned(texts)
    assert shape.pieces == (head, rest, "")
    assert all(shape.values(text) is not None for text in texts)


GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau phi"
WORDS = tuple(GREEK.split())
