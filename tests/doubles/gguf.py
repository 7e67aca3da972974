"""Writes GGUF files that describe a model but contain no weights."""

import struct
from pathlib import Path

SMOLLM_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def described(path: Path, *, window: int = 2048, template: str = SMOLLM_TEMPLATE) -> Path:
    """Write a file with a complete header: three tokens, of which two are control tokens."""
    pairs = [
        _pair("general.architecture", 8, _text("llama")),
        _pair("llama.context_length", 4, struct.pack("<I", window)),
        _pair("tokenizer.ggml.tokens", 9, _texts(["<|im_start|>", "<|im_end|>", "word"])),
        _pair("tokenizer.ggml.token_type", 9, struct.pack("<IQ3i", 5, 3, 3, 3, 1)),
        _pair("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 1)),
        _pair("tokenizer.ggml.add_bos_token", 7, b"\x00"),
        _pair("tokenizer.chat_template", 8, _text(template)),
    ]
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs))
    return path


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _texts(texts: list[str]) -> bytes:
    return struct.pack("<IQ", 8, len(texts)) + b"".join(map(_text, texts))


def _pair(key: str, kind: int, value: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + value
