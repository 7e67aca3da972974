"""Tickets for the demonstration, each with its right label. The last sentences of each label are kept for the test."""

from collections.abc import Iterator

KEPT = 4
OPENINGS = ("", "Hello, ", "Good morning. ", "Hi, quick one: ")
BY_LABEL = {
    "card": (
        "my card was stolen on the train.",
        "the machine swallowed my card this morning.",
        "my new card has not arrived yet.",
        "the chip of my card is broken.",
        "please block my card, I left it in a taxi.",
        "can I have a second card for my son?",
        "my card is declined in every shop.",
        "the name on my card is misspelt.",
        "I found my lost card, can you unblock it?",
        "my card expires next week, when do I get another one?",
        "someone copied my card at a petrol station.",
        "the contactless part of my card stopped working.",
    ),
    "transfer": (
        "the transfer to my sister has not arrived.",
        "I sent money to the wrong account.",
        "how long does a transfer to Japan take?",
        "a transfer that I never made is on my statement.",
        "can I take back the transfer of this morning?",
        "my salary was transferred twice.",
        "the transfer to my landlord was refused.",
        "I want to transfer money every first of the month.",
        "why is my transfer still pending?",
        "the receiver says that my transfer came back.",
        "what is the most that I can transfer in a day?",
        "the standing transfer to my savings was skipped.",
    ),
    "loan": (
        "I want to pay back my loan early.",
        "what interest would I pay for a loan of 5000?",
        "my loan was refused and I do not know why.",
        "can I skip one rate of my loan?",
        "how long does it take until a loan is approved?",
        "I need a loan for a used car.",
        "please send me the plan of my loan.",
        "can my wife take over my loan?",
        "I want to raise my loan by 2000.",
        "which papers do you need for a loan?",
        "the last rate of my loan was higher than the others.",
        "does a loan for a kitchen need a guarantor?",
    ),
    "fees": (
        "why did you charge me 4 euros this month?",
        "what does the account cost in a year?",
        "I was charged for taking out cash abroad.",
        "is there a fee for paper statements?",
        "you charged the monthly fee twice.",
        "which fees does a student pay?",
        "why does it cost money to close my account?",
        "the fee for foreign currency is too high.",
        "since when do you charge for text messages?",
        "I was promised an account without fees.",
        "what do you charge for a bounced payment?",
        "please explain the service charge of 12 euros.",
    ),
    "login": (
        "the app does not let me in.",
        "I forgot my password.",
        "I do not get the code by text message.",
        "my user name is locked after three tries.",
        "the fingerprint does not work in the app any more.",
        "I have a new phone and cannot sign in.",
        "the web page says that my session is over.",
        "how do I change my password?",
        "the app asks me to sign in again and again.",
        "my code generator shows the wrong numbers.",
        "I cannot sign in from abroad.",
        "somebody tried to sign in with my user name.",
    ),
}


def recorded() -> Iterator[tuple[str, str]]:
    """Yield tickets with their labels for the time before the test, the labels in turns."""
    yield from _mixed(slice(0, -KEPT), OPENINGS)


def fresh() -> Iterator[tuple[str, str]]:
    """Yield tickets with other sentences."""
    yield from _mixed(slice(-KEPT, None), OPENINGS[:3])


def _mixed(which: slice, openings: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for opening in openings:
        for sentences in zip(*(texts[which] for texts in BY_LABEL.values()), strict=True):
            for label, sentence in zip(BY_LABEL, sentences, strict=True):
                yield (f"{opening}{sentence}" if opening else sentence[0].upper() + sentence[1:]), label
