"""Many different plain prompts, so that no cache of texts answers in place of the measured code."""

import itertools

# minutes and messages: with an article the template for summaries adds nothing
ASKS = (
    "Summarise these minutes in two sentences: ",
    "Please summarize the following meeting: ",
    "Give me a short summary of this e-mail: ",
    "Can you summarise this message for me? ",
)
WHO = (
    "The city council", "A small bakery in Porto", "The school board", "Our sales team", "The museum",
    "A group of engineers", "The ferry company", "The hospital", "A farmer near Lyon", "The library",
)  # fmt: skip
DID = (
    "decided on Monday to postpone the new building until the money is there",
    "presented a plan to cut the use of water by a third before next summer",
    "opened a second office and hired twelve people from the region",
    "reported that visits rose by a fifth although the prices went up",
    "asked the public for ideas and received more than two hundred letters",
    "found out that most complaints come from a single broken machine",
    "agreed to share its data with the university for a study of five years",
    "sold its oldest ship and will rent a smaller one for the winter",
    "changed the opening hours after a long discussion with the neighbours",
    "lost the appeal and has to pay the costs of both sides",
)
THEN = (
    "Critics say that the decision came too late.",
    "The mayor praised the work of everybody involved.",
    "A final report is expected in the spring.",
    "Nobody could say what it will cost in the end.",
    "Two members voted against it and left the room.",
    "The staff had asked for it for many years.",
    "Similar plans had failed twice before.",
    "Most people heard about it from the newspaper.",
    "It is the largest change in ten years.",
    "The first results are better than expected.",
)


def summaries(count: int) -> list[str]:
    """Return `count` different prompts of about 300 characters that ask for a summary."""
    made = itertools.product(ASKS, WHO, DID, THEN, THEN)
    every = max(1, len(ASKS) * len(WHO) * len(DID) * len(THEN) ** 2 // count)
    return [
        f"{ask}{who} {did}. {one} {two}" for index, (ask, who, did, one, two) in enumerate(made) if index % every == 0
    ][:count]
