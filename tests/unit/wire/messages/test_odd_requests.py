"""Requests of Anthropic's API that are allowed but rare."""

import json

from msgspec import Raw
from msgspec.json import decode

from gateway.ask import Turn
from gateway.wire.messages import request
from gateway.wire.messages.request import put_turns
from gateway.wire.messages.token_count import countable


def test_an_empty_system_with_blanks_is_no_turn() -> None:
    body = b'{"model": "m", "system": [ ], "messages": [{"role": "user", "content": "Hi"}]}'
    fields = decode(body, type=dict[str, Raw])

    put_turns(fields, (Turn("system", "Be brief.", -1), *request.ask(body, {}).turns))

    assert json.loads(bytes(fields["messages"])) == [{"role": "user", "content": "Hi"}]


def test_the_texts_of_a_document_in_blocks_are_counted() -> None:
    source = {"type": "content", "content": [{"type": "text", "text": "many words"}]}
    content = [{"type": "document", "source": source}]

    text, extra = countable(json.dumps({"messages": [{"role": "user", "content": content}]}).encode())

    assert text == "many words" and extra < 100
