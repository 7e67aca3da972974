"""Prompts from files of other tools: what a tool renders is recognised, and what was left out is told."""

import contextlib
import json
from pathlib import Path

import pytest
from jinja2 import Environment

from gateway.ask import Turn
from gateway.prompt.found.adopt import identity
from gateway.prompt.found.index import PromptIndex, PromptMatch
from gateway.prompt.found.templates import exported, imported
from gateway.prompt.given.as_found import ImportedPrompt, put_given
from gateway.prompt.given.formats import FORMATS
from gateway.prompt.given.given_prompt import PromptFileBroken

CHAT = "chat/completions"


def imports_of(file: Path, form: str) -> list[ImportedPrompt]:
    return [put_given((), one, "app", CHAT) for one in FORMATS[form](file)]


def match_of(imports: list[ImportedPrompt], *turns: tuple[str, str]) -> PromptMatch:
    index = PromptIndex(one.prompt for one in imports)
    match = index.find("app", CHAT, [Turn(role, text, 0) for role, text in turns])
    assert match is not None, [one.prompt.newest.shapes for one in imports]
    return match


def values_of(imports: list[ImportedPrompt], *turns: tuple[str, str]) -> dict[str, str]:
    match = match_of(imports, *turns)
    return dict(zip((part.name for part in match.version.parts), match.values, strict=True))


def test_a_markdown_file_with_sections(tmp_path: Path) -> None:
    file = tmp_path / "triage.md"
    file.write_text(
        "---\nname: triage\n---\n# system\n\nYou sort tickets. Today is {{ date }}.\n\n# user\n\n{{ ticket }}\n"
    )

    imports = imports_of(file, "file")

    assert values_of(imports, ("system", "You sort tickets. Today is 3 May."), ("user", "My card is gone")) == {
        "date": "3 May",
        "ticket": "My card is gone",
    }
    assert imports[0].prompt.name == "triage"


def test_a_plain_text_is_the_users_message(tmp_path: Path) -> None:
    file = tmp_path / "Translate it!.txt"
    file.write_text("Translate into {{ language }}:\n{{ text }}\n")

    imports = imports_of(file, "file")

    assert imports[0].prompt.name == "translate-it"
    assert values_of(imports, ("user", "Translate into French:\nGood day.")) == {
        "language": "French",
        "text": "Good day.",
    }


def test_langfuse_chat_prompts_with_versions_and_placeholders(tmp_path: Path) -> None:
    file = tmp_path / "prompt.json"
    version = {
        "name": "movie critic",
        "type": "chat",
        "config": {"model": "gpt-4o", "temperature": 0.3},
        "labels": ["production"],
        "prompt": [
            {"role": "system", "content": "You are a {{level}} critic."},
            {"type": "placeholder", "name": "history"},
            {"role": "user", "content": "Do you like {{ movie }}?"},
        ],
    }
    older = version | {"version": 1, "prompt": [{"role": "user", "content": "Rate {{movie}}."}]}
    file.write_text(json.dumps({"data": [version | {"version": 2}, older]}))
    prompts = FORMATS["langfuse"](file)

    first = put_given((), prompts[0], "app", CHAT)
    second = put_given((first.prompt,), prompts[1], "app", CHAT)

    assert [one.number for one in second.prompt.versions] == [1, 2]
    assert second.prompt.id == first.prompt.id
    assert match_of([second], ("user", "Rate Dune.")).version.number == 1
    turns = ("system", "You are a stern critic."), ("assistant", "Hi"), ("user", "Do you like Dune?")
    assert values_of([second], *turns) == {"level": "stern", "movie": "Dune"}
    assert "model, temperature: left out" in " ".join(second.losses)
    assert "the placeholder 'history'" in " ".join(second.losses)


def test_tensorzero_variants_and_their_templates(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/system.minijinja").write_text("You write about {{ topic }}.\n")
    (tmp_path / "templates/user.minijinja").write_text("{% if tone %}Tone: {{ tone }}.\n{% endif %}Write: {{ text }}")
    file = tmp_path / "tensorzero.toml"
    file.write_text(
        '[functions.draft]\ntype = "chat"\n'
        '[functions.draft.variants.first]\ntype = "chat_completion"\nmodel = "m"\ntemperature = 0.2\n'
        'system_template = "templates/system.minijinja"\ntemplates.user.path = "templates/user.minijinja"\n'
        '[functions.other.variants.plain]\ntype = "chat_completion"\nmodel = "m"\n'
    )

    imports = imports_of(file, "tensorzero")

    assert [one.prompt.name for one in imports] == ["draft.first"]
    for tone in ("", "dry"):
        rendered = Environment().from_string((tmp_path / "templates/user.minijinja").read_text())
        user = rendered.render(tone=tone, text="a letter")
        assert values_of(imports, ("system", "You write about cats."), ("user", user)) == {
            "topic": "cats",
            "if_tone": "Tone: dry.\n" if tone else "",
            "text": "a letter",
        }
    assert any(loss.startswith("{% if tone %}") for loss in imports[0].losses)
    assert any("model, temperature" in loss for loss in imports[0].losses)


def test_dotprompt_roles_blocks_and_helpers(tmp_path: Path) -> None:
    file = tmp_path / "greet.formal.prompt"
    file.write_text(
        "---\nmodel: googleai/gemini\ninput:\n  schema:\n    name: string\n---\n"
        '{{role "system"}}You are a {{style}} host.\n{{! a comment }}\n'
        '{{role "user"}}Greet {{user.name}}.\n{{#if loud}}\nShout!\n{{/if}}\nEnd with \\{{kept}}.\n'
    )

    imports = imports_of(file, "dotprompt")

    assert imports[0].prompt.name == "greet.formal"
    for loud in ("", "Shout!\n"):
        turns = ("system", "You are a warm host.\n"), ("user", f"Greet Ann.\n{loud}End with {{{{kept}}}}.")
        assert values_of(imports, *turns) == {"style": "warm", "user_name": "Ann", "if_loud": loud}


def test_dotprompt_with_a_picture_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "look.prompt"
    file.write_text("Describe {{media url=photo}} in one line.")
    with pytest.raises(PromptFileBroken, match="plain text"):
        imports_of(file, "dotprompt")


def test_litellm_lines_with_roles(tmp_path: Path) -> None:
    file = tmp_path / "chat.prompt"
    file.write_text(
        "---\nmodel: gpt-4\ntemperature: 0.7\n---\nSystem: You are a {{ role }}.\n  Be brief.  \n\n"
        "User: {{ question | trim }}\nAnswer in one line.\n"
    )

    imports = imports_of(file, "litellm")

    turns = ("system", "You are a clerk.\nBe brief."), ("user", "Why?\nAnswer in one line.")
    assert values_of(imports, *turns) == {"role": "clerk", "question_trim": "Why?"}


def test_litellm_without_roles_is_the_users_message(tmp_path: Path) -> None:
    file = tmp_path / "one.prompt"
    file.write_text("---\nmodel: m\n---\nSay hello to {{name}}!\n")
    assert values_of(imports_of(file, "litellm"), ("user", "Say hello to Ann!")) == {"name": "Ann"}


def test_promptfoo_with_inline_text_files_and_chats(tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text(
        '[{"role": "system", "content": "You are {{who}}, of old."}, {"role": "user", "content": "{{q}}"}]'
    )
    (tmp_path / "two.txt").write_text("First about {{x}}\n---\nSecond about {{x}}\n")
    (tmp_path / "promptfooconfig.yaml").write_text(
        "prompts:\n  - 'Translate to {{language}}: {{text}}'\n  - file://chat.json\n  - file://two.txt\n"
        "  - id: file://two.txt\n    label: named\n"
    )

    imports = imports_of(tmp_path / "promptfooconfig.yaml", "promptfoo")

    assert len(imports) == 6
    assert values_of(imports, ("user", "Translate to French: Hi")) == {"language": "French", "text": "Hi"}
    assert values_of(imports, ("user", "Second about cats")) == {"x": "cats"}
    assert values_of(imports, ("system", "You are Ovid, of old."), ("user", "Hi")) == {"who": "Ovid", "q": "Hi"}


@pytest.mark.parametrize(
    ("name", "form", "text", "why"),
    [
        ("a.txt", "file", "{{ all }}", "no fixed text"),
        ("a.md", "file", "# user\nHi\n# system\nYou are.", "must be the first message"),
        ("a.json", "file", '{"messages": "no"}', "list of messages"),
        ("a.json", "file", "{", "is not JSON"),
        ("a.json", "langfuse", "[]", "holds no prompt"),
        ("a.json", "langfuse", '{"name": "a"}', "has no `prompt`"),
        ("a.json", "langfuse", '{"prompt": "a @@@langfusePrompt:name=b|version=1@@@"}', "contains another one"),
        ("a.toml", "tensorzero", "[functions", "is not TOML"),
        ("a.toml", "tensorzero", "", "no variant with a template"),
        ("a.prompt", "dotprompt", "---\n: : :\n---\nHi", "is not YAML"),
        ("a.prompt", "dotprompt", "Hi {{#if x}}", "has no {{/…}}"),
        ("a.prompt", "litellm", "Hi {% if x %}", "Unexpected end of template"),
        ("a.prompt", "litellm", "Hi {{ x", "line 1"),
        ("promptfooconfig.yaml", "promptfoo", "prompts: [file://a.py]", "is a program"),
        ("promptfooconfig.yaml", "promptfoo", "prompts: [file://gone.txt]", "cannot be read"),
        ("promptfooconfig.yaml", "promptfoo", "prompts: 5", "must be a text"),
    ],
)
def test_a_file_that_holds_no_prompt_is_refused_with_its_reason(
    tmp_path: Path, name: str, form: str, text: str, why: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(PromptFileBroken, match=why):
        imports_of(tmp_path / name, form)


MUTATED = {
    "file": "---\nname: a\n---\n# system\n\nYou {{ a }} b.\n\n# user\n\n{{ c }}\n",
    "langfuse": '{"name":"a","version":1,"config":{"x":1},"prompt":[{"role":"user","content":"a {{b}} c"}]}',
    "tensorzero": '[functions.f.variants.v]\nsystem_template = "x"\ntemplates.user.path = "y"\n',
    "dotprompt": '---\nmodel: m\n---\n{{role "system"}}a {{b}}\n{{#each c}}\n{{e}}\n{{/each}}\n{{role "user"}}{{>d}}',
    "litellm": "---\nmodel: m\n---\nSystem: a {{ b }}\nUser: {% for c in d %}{{ c }}{% endfor %} e",
    "promptfoo": "prompts:\n  - 'a {{ b }} c'\n  - id: file://x.json\n    label: y\n",
}


@pytest.mark.parametrize("form", FORMATS)
def test_every_cut_of_a_file_is_read_or_refused(tmp_path: Path, form: str) -> None:
    suffix = {"langfuse": ".json", "promptfoo": ".yaml", "file": ".md"}.get(form, ".x")
    file, text = tmp_path / f"a{suffix}", MUTATED[form]
    for at in range(len(text)):
        for mutant in (text[:at], text[at:], text[:at] + "{{" + text[at:], text[:at] + "null" + text[at + 1 :]):
            file.write_text(mutant)
            with contextlib.suppress(PromptFileBroken):
                imports_of(file, form)


def test_a_text_in_quotes_is_fixed_text_and_every_part_has_a_name_that_an_export_can_hold(tmp_path: Path) -> None:
    file = tmp_path / "a.prompt"
    file.write_text(
        """Fill {{ "{{" }} name {{ '}}\\xe9é' }} for {{ user }}{% if a %}{{ "b" }}{% endif %}: {{ 5 }} {{ a['b'] }}"""
    )
    (given,) = FORMATS["litellm"](file)
    prompt = put_given([], given, "k", "chat/completions").prompt

    assert prompt.newest.last.pieces == ("Fill {{ name }}éé for ", ": ", " ", "")
    assert [part.name for part in prompt.newest.parts] == ["user_if_a", "5", "a_b"]
    template = identity(prompt)
    assert imported(exported(template), template, prompt).messages == template.messages
