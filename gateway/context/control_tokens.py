"""Control tokens of common model families, and a function that breaks up such tokens in text that the gateway did not
write.

Some tokenizers read a control token in the text of a message as the real token: the end of a turn, a tool call, the
start of the reasoning. The model behind a remote server is unknown. Therefore a space breaks up the tokens of all
families, for every backend. Letters and digits stay as they are, so that searches still find the words.

The names come from the `tokenizer_config.json` and the chat templates of the models that the tables below name. The
largest families are also documented in these places:

    Llama 2   meta-llama/llama, llama/generation.py (B_INST, B_SYS)
    Mistral   mistralai/mistral-common, tokens/tokenizers/base.py (SpecialTokens); mistralai/cookbook, tokenization
    Qwen      QwenLM/Qwen2.5, docs/source/getting_started/concepts.md; pytorch/torchtune, models/qwen3
    Gemma     special_tokens_map.json of gemma-7b-it and of gemma-3
    GLM       mindspore-lab/mindformers, ChatGLM3Tokenizer
"""

import re
from collections.abc import Mapping, Sequence

IN_ANGLES = {
    "Llama 2, Mistral, Gemma, T5: the sentence pieces": ("s", "bos", "eos", "pad", "unk", "mask", "cls", "sep"),
    "Gemma 1 to 3": (
        *("start_of_turn", "end_of_turn", "start_of_image", "end_of_image", "image_soft_token"),
        *("start_of_audio", "end_of_audio", "audio_soft_token", r"unused\d+"),
    ),
    "FunctionGemma": (r"(?:start|end)_function_(?:call|declaration|response)", "escape"),
    "Qwen 2.5 and 3, DeepSeek R1, Hermes, Granite, SmolLM3": (
        *("think", "tool_call", "tool_calls", "tool_response", "tool_reponse", "tools", "scratch_pad"),
    ),
    "GLM 4": ("sop", "eop", "arg_key", "arg_value"),
    "Hunyuan, Ernie 4.5": ("answer", "response"),
    "Ling and Ring": ("role",),
    "Seed-OSS": (r"seed:[a-z_]+",),
    "MiniMax M1 and M2": (r"minimax:[a-z_]+",),
    "Baichuan 2": (r"reserved_\d+",),
    "InternLM": ("eoh", "eoa", r"tokens_unused_\d+"),
    "Command R": (r"(?:bos|eos|eop|mask)_token",),
    "Nemotron, T5": (r"special_\d+", r"extra_id_\d+"),
    "StarCoder, SantaCoder, Granite Code": (
        *(r"fim[_-](?:prefix|middle|suffix|pad)", "file_sep", "repo_name", "reponame", "endoftext"),
    ),
    "Idefics, SmolVLM, LLaVA, InternVL": (
        *("end_of_utterance", "fake_token_around_image", "global-img", r"row_\d+_col_\d+", "image", "img"),
        "img_context",
    ),
}
"""For each family, patterns of the names between `<` and `>`. A `/` may stand before a name."""

IN_CAPITALS = {"Code Llama": ("PRE", "SUF", "MID", "EOT")}
"""More names between `<` and `>`. These names match only in capital letters, since `<pre>` is HTML."""

IN_BRACKETS = {
    "Llama 2, Mistral": ("INST", "SYSTEM_PROMPT"),
    "Mistral 7B v0.3 to Magistral, Pixtral, Voxtral": (
        *("AVAILABLE_TOOLS", "TOOL_CALLS", "TOOL_RESULTS", "TOOL_CONTENT", "CALL_ID", "ARGS", "THINK"),
        *("IMG", "IMG_BREAK", "IMG_END", "AUDIO", "BEGIN_AUDIO", "TRANSCRIBE", "MODEL_SETTINGS"),
        *("PREFIX", "MIDDLE", "SUFFIX"),
    ),
    "GLM 4": ("gMASK", "sMASK"),
    "Kimi K2, BERT": ("BOS", "EOS", "EOT", "PAD", "UNK", "CLS", "SEP", "MASK"),
    "InternLM 2": (r"UNUSED_TOKEN_\d+",),
    "Gemma 3": ("multimodal", "@BOS@"),
    "Apriel": ("(?:BEGIN|END) FINAL RESPONSE",),
}
"""The names between `[` and `]`. A `/` may stand before a name."""

WHOLE = {
    "Llama 2": ("<<SYS>>", "<</SYS>>"),
    "MiniMax M1 to M3": ("]~b]", "]~!b[", "[e~[", "]<]minimax[>["),
    "Falcon": tuple(
        f">>{name}<<"
        for name in ("TITLE", "ABSTRACT", "INTRODUCTION", "SUMMARY", "COMMENT", "ANSWER", "QUESTION", "DOMAIN")
    ),
}
"""Tokens of other shapes."""


def _any(families: Mapping[str, Sequence[str]]) -> str:
    return "|".join(name for names in families.values() for name in names)


def _ahead(token: str) -> str:
    """Return a pattern that matches the first character of `token` if the rest of `token` follows."""
    return f"{re.escape(token[0])}(?={re.escape(token[1:])})"


CONTROL = re.compile(
    # ChatML, Llama 3, Phi, GPT-OSS, DeepSeek and others: anything between <| and |>; EXAONE: between [| and |]
    r"[<＜](?=[|｜])|(?<=[|｜])(?=[>＞])|\[(?=\|[a-z_]{2,24}\|\])"
    rf"|[<＜](?=/?(?:{_any(IN_ANGLES)})[>＞])"
    rf"|(?-i:[<＜](?=/?(?:{_any(IN_CAPITALS)})[>＞]))"
    rf"|[\[［](?=/?(?:{_any(IN_BRACKETS)})[\]］])"
    rf"|{'|'.join(_ahead(token) for tokens in WHOLE.values() for token in tokens)}",
    re.IGNORECASE,
)
"""Matches one character of a control token. `broken` inserts a space after this character."""


def broken(text: str) -> str:
    """Insert a space into each control token of the text."""
    return CONTROL.sub(lambda match: f"{match[0]} ", text)
