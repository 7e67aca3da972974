"""Writes a new template file. The file passes lint, and marks each line that its author must replace."""

import json

from gateway.prompt.templates.fields import Language, Technique

_BODY = {
    "en": (
        "You are careful and precise. Replace this line with what the model must know.",
        "Unless the request says otherwise: Replace this line with how the answer should look.",
        "Replace me: question {n} that users ask about {topic}",
        "Replace me: a question near {topic} that is something else, {n}",
    ),
    "zh": (
        "你认真而准确。请把这一行换成模型需要知道的内容。",
        "除非上面另有要求：请把这一行换成对回答的要求。",
        "请替换：用户关于{topic}会问的第{n}个问题",
        "请替换：与{topic}相近但不属于它的第{n}个问题",
    ),
}


def scaffold(id: str, intent: str, language: Language, technique: Technique) -> str:
    """Return the source of a new draft."""
    system, request, match, near = _BODY.get(language, _BODY["en"])
    topic = intent.replace("-", " ").replace("_", " ")
    lines = [
        "---",
        "schema: 1",
        f"id: {id}",
        "version: 1                     # +1 with each change of content",
        "status: draft                  # requests get the `active` version",
        f"language: {language}",
        f"family: {id.removesuffix(f'.{language}')}",
        "description: Replace me with one line on what this is for",
        "intent:",
        f"  name: {intent}",
        "  match:                       # requests for this template, in the words of your users",
        *(f"    - {_text(match.format(n=n, topic=topic))}" for n in range(1, 9)),
        "  not:                         # similar requests that are not for it",
        *(f"    - {_text(near.format(n=n, topic=topic))}" for n in range(1, 3)),
        f"technique: {technique}",
        *_examples(technique),
        "output: {max_tokens: 400}",
        "tests:",
        f"  - query: {_text(match.format(n=1, topic=topic))}",
        "    expect:",
        "      - roles: [system, user]",
        f"      - contains: {_text(match.format(n=1, topic=topic))}",
        "provenance: {origin: author, author: replace me}",
        "---",
        "# system",
        system,
        *_list(technique),
        "# user",
        "{{ query }}",
        "",
        request,
    ]
    return "\n".join(lines) + "\n"


def _examples(technique: Technique) -> list[str]:
    if technique is not Technique.FEW_SHOT:
        return []
    return [
        "examples:                      # or a pool: {pool: examples.jsonl, question: What is asked?, k: 6, as: turns}",
        "  - {input: replace me, output: and me}",
        "  - {input: replace me too, output: and me}",
    ]


def _list(technique: Technique) -> list[str]:
    if technique is not Technique.FEW_SHOT:
        return []
    return ["{% for e in examples %}", "{{ e.input }} => {{ e.output }}", "{% endfor %}"]


def _text(text: str) -> str:
    """Return a text as a quoted YAML scalar, since a bare text must not contain a colon."""
    return json.dumps(text, ensure_ascii=False)
