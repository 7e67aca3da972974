"""What a template cannot do, whoever wrote it: execute, read, go on for ever, or change what a user wrote."""

from pathlib import Path

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.errors import TemplateError
from gateway.prompt.templates.allow_list import MAX_DEPTH, ForbiddenSyntax
from gateway.prompt.templates.body_filters import FILTERS, MAX_CHARS, MAX_INDENT, RenderedTooLong
from gateway.prompt.templates.sandbox import CompiledBody, compile_body
from tests.doubles.templates import template

FILE = Path(__file__).parent / "template_injections.txt"
PAYLOADS = [line for line in FILE.read_text("utf-8").splitlines() if not line.startswith("# ")]
SLOTS = ("query", "text", "tone")
JINJA = [line for line in PAYLOADS if "{{" in line or "{%" in line]
FOREIGN = [line for line in PAYLOADS if line not in JINJA and not line.startswith("#")]


@pytest.mark.parametrize("payload", JINJA)
def test_an_injection_as_a_template_is_refused_at_load(payload: str) -> None:
    with pytest.raises(TemplateError):
        template(f"# user\n{{{{ query }}}}\n{payload}\n", more="examples: [{input: a, output: b}]\n")


@pytest.mark.parametrize("payload", FOREIGN)
def test_what_is_code_in_another_language_is_text_here(payload: str) -> None:
    assert template(f"# user\n{payload}\n{{{{ query }}}}").render({"query": "q"})[0].text == f"{payload}\nq"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_an_injection_as_a_value_stays_what_it_is(payload: str) -> None:
    made = template(
        "# system\nBe {{ tone }}.\n# user\n{{ query }}\n{{ text }}",
        more="slots: {tone: query, text: payload}\n",
    )
    system, user = made.render({"query": payload, "tone": payload, "text": payload})
    assert (system.role, system.text) == ("system", f"Be {payload}.")
    assert (user.role, user.text) == ("user", f"{payload}\n{payload}")


@pytest.mark.parametrize(
    "source",
    [
        "{{ " + "(" * 5000 + "query" + ")" * 5000 + " }}",
        "{{ " + "[" * 200 + "]" * 200 + " }}",
        "{% if query %}" * (MAX_DEPTH + 1) + "x" + "{% endif %}" * (MAX_DEPTH + 1),
        "{{ query" + " | trim" * (MAX_DEPTH + 1) + " }}",
        "{{ query }}" * 3000,
        "{{ " + " == ".join(["query"] * 3000) + " }}",
        "x" * 200_000,
    ],
)
def test_a_template_that_is_too_big_or_too_deep_is_refused(source: str) -> None:
    with pytest.raises(ForbiddenSyntax):
        compile_body(source, {"query"})


@pytest.mark.parametrize(
    "source",
    [
        "{{ labels | join(query) }}",
        "{{ query }}{{ query }}{{ query }}",
        "{% for e in examples %}{{ query }}{% endfor %}",
        "{{ query | bullets | bullets | bullets | bullets }}",
        "{{ query | indent(999999999) | indent(99) | indent(99) }}",
    ],
)
def test_a_template_that_grows_without_end_is_stopped(source: str) -> None:
    body = compile_body(source, {"query", "examples", "labels"})
    values = {"query": "a\n" * 90_000, "examples": ("e",) * 64, "labels": ("l",) * 5000}
    with pytest.raises(RenderedTooLong):
        body.render(values)


def test_a_constant_that_would_fill_the_memory_is_never_made() -> None:
    body = compile_body("{{ 'a\nb' | indent(999999999) }}", set())
    assert body.render({}) == "a\n" + " " * MAX_INDENT + "b"


WORDS = st.sampled_from(
    [
        *[
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            "query",
            "text",
            "examples",
            "labels",
            "e",
            "loop",
            "if",
            "else",
            "endif",
            "for",
            "in",
            "endfor",
            "not",
            "and",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
        ],
        *[
            "|",
            ".",
            ",",
            "'",
            "~",
            "*",
            "+",
            "==",
            "set",
            "macro",
            "include",
            "import",
            "attr",
            "__class__",
            "input",
            "index",
            "0",
            "9999999",
        ],
        *('"', "\n", "# user", " "),
        *FILTERS,
    ]
)


@given(st.lists(WORDS, max_size=40), st.text(max_size=100))
def test_any_template_is_refused_or_renders_to_text_of_an_end(words: list[str], value: str) -> None:
    try:
        body = compile_body(" ".join(words), {"query", "text", "examples", "labels"})
        text = body.render({"query": value, "text": value, "examples": (), "labels": (value,)})
    except (ForbiddenSyntax, RenderedTooLong):
        return
    assert len(text) <= MAX_CHARS


@given(st.text())
def test_any_value_is_in_the_message_word_for_word(value: str) -> None:
    body = compile_body("<{{ query }}>", {"query"})
    assert body.render({"query": value}) == f"<{value}>"


PLAIN = (
    "{{ query }}",
    "a {{ text }} b {{ tone }}",
    "{% if text %}\n{{ text }}\n{% else %}\n{{ query }}\n{% endif %}\nEnd.",
    "  {% if text %}{% if tone %}{{ tone }}: {% endif %}{{ text }}{% endif %}\n",
    "{# a remark #}words alone",
)


@pytest.mark.parametrize("source", PLAIN)
@given(values=st.fixed_dictionaries({name: st.sampled_from(["", " ", "one", "{{ two }}\n"]) for name in SLOTS}))
def test_a_plain_body_is_written_as_jinja_would(source: str, values: dict[str, str]) -> None:
    body = compile_body(source, SLOTS)

    assert body.plain is not None
    assert body.render(values) == replace(body, plain=None).render(values)


@pytest.mark.parametrize("values", [{}, {"query": "q", "text": "t"}])
def test_what_is_missing_in_a_plain_body_is_an_error_as_in_any(values: dict[str, str]) -> None:
    with pytest.raises(jinja2.UndefinedError):
        compile_body("{{ query }} {{ tone }}", SLOTS).render(values)


def test_a_plain_body_has_an_end_too() -> None:
    with pytest.raises(RenderedTooLong):
        compile_body("{{ query }}{{ query }}", SLOTS).render({"query": "x" * (MAX_CHARS // 2 + 1)})


NAMES = st.sampled_from(["query", "text", "tone"])
LITERALS = st.text(alphabet="ab:\"'<> \n\t-é你", max_size=12)
DASHES = st.sampled_from(["", "-", "+"])


@st.composite
def _choices(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    name, before, after = draw(NAMES), draw(DASHES), draw(DASHES.filter(lambda dash: dash != "+"))
    other = "{% else %}" + draw(inner) if draw(st.booleans()) else ""
    return f"{{%{before} if {name} {after}%}}{draw(inner)}{other}{{% endif {after}%}}"


BODIES = st.recursive(
    LITERALS | NAMES.map(lambda name: f"{{{{ {name} }}}}") | LITERALS.map(lambda text: f"{{# {text} #}}"),
    lambda inner: st.lists(inner, max_size=4).map("".join) | _choices(inner),
    max_leaves=10,
)
VALUES = st.dictionaries(NAMES, st.text(max_size=8) | st.just("{{ query }}{% if x %}"), max_size=3)


def _outcome(body: CompiledBody, values: dict[str, str]) -> str | type[Exception]:
    try:
        return body.render(values)
    except (RenderedTooLong, jinja2.UndefinedError) as error:
        return type(error)


@settings(max_examples=150)
@given(BODIES, VALUES)
def test_any_body_is_written_as_jinja_would(source: str, values: dict[str, str]) -> None:
    body = compile_body(source, SLOTS)

    assert body.plain is not None
    assert _outcome(body, values) == _outcome(replace(body, plain=None), values)
