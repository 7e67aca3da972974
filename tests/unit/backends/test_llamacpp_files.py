"""What a model file and its chat template say, read without the library."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.local import llamacpp
from gateway.backends.local.chat_template import CannotChange, _render, without_default_system
from gateway.backends.local.gguf import metadata
from gateway.backends.local.llamacpp import LlamaCppSettings
from tests.doubles.gguf import SMOLLM_TEMPLATE, described

QWEN_TEMPLATE = """{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""
PLAIN_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{{ eos_token }}{% endfor %}<|assistant|>"
)
GIVEN = {"bos_token": "", "eos_token": "</s>", "add_generation_prompt": True}
USER = {"role": "user", "content": "Hi"}


def test_a_model_file_tells_its_window_template_and_control_tokens(tmp_path: Path) -> None:
    assert metadata.read(described(tmp_path / "m.gguf", window=4096)) == metadata.ModelFile(
        architecture="llama",
        window_tokens=4096,
        chat_template=SMOLLM_TEMPLATE,
        control_tokens=("<|im_start|>", "<|im_end|>"),
        eos="<|im_end|>",
    )


@given(st.integers(min_value=0, max_value=300))
def test_a_file_that_is_cut_short_is_not_a_model(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    whole = described(tmp_path_factory.mktemp("gguf") / "m.gguf")
    whole.write_bytes(whole.read_bytes()[:length])
    with pytest.raises(metadata.NotAModel):
        metadata.read(whole)


@given(st.binary(max_size=200))
def test_noise_after_the_magic_is_not_a_model(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00" + b"\x00" * 8 + b"\xff" * 8 + noise)
    with pytest.raises(metadata.NotAModel):
        metadata.read(path)


@pytest.mark.parametrize("template", [SMOLLM_TEMPLATE, QWEN_TEMPLATE])
def test_the_makers_system_prompt_is_taken_out_of_the_template(template: str) -> None:
    changed = without_default_system(template, eos="</s>")
    assert _render(template, [USER], GIVEN).startswith("<|im_start|>system\nYou are")
    assert _render(changed, [USER], GIVEN) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    for conversation in ([{"role": "system", "content": "Be brief."}, USER], [USER, USER]):
        before, after = _render(template, conversation, GIVEN), _render(changed, conversation, GIVEN)
        assert before.endswith(after)


def test_a_template_without_a_default_stays_as_it_is() -> None:
    assert without_default_system(PLAIN_TEMPLATE) == PLAIN_TEMPLATE


def test_a_template_that_cannot_be_rendered_is_reported() -> None:
    with pytest.raises(CannotChange, match="cannot be rendered"):
        without_default_system("{% for message in messages %}{{ message.content }}")


def test_a_template_cannot_reach_out_of_its_sandbox() -> None:
    with pytest.raises(CannotChange):
        without_default_system("{{ ''.__class__.__mro__[1].__subclasses__() }}")


@pytest.mark.parametrize(
    ("model", "what"),
    [
        ("package:no_such_package/m.gguf", "not installed"),
        ("package:gateway/errors.py", "is not a GGUF model"),
        ("/nowhere/m.gguf", "does not exist"),
    ],
)
def test_a_wrong_model_file_is_a_problem_with_a_remedy(model: str, what: str) -> None:
    (problem,) = llamacpp.KIND.check(LlamaCppSettings(name="small", model=model), Path("/"))
    assert problem.where == "model"
    assert what in problem.what
    assert "GGUF" in problem.remedy


def test_figures_below_one_are_problems() -> None:
    settings = LlamaCppSettings(name="small", model="m.gguf", parallel=0, context_tokens=0)
    assert [problem.where for problem in llamacpp.KIND.check(settings, Path("/"))] == [
        "context_tokens",
        "parallel",
        "model",
    ]
