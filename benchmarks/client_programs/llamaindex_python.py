"""LlamaIndex (OpenAILike) against the gateway."""

from cells import EMBEDDING, FRANCE, MODEL, PICTURE, REFUSED, URL, is_local, paris, run
from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

COMMON = {"api_base": URL, "api_key": "none", "max_retries": 0, "timeout": 120}
model = OpenAILike(model=MODEL, is_chat_model=True, temperature=0, max_tokens=30, **COMMON)
ASK = [ChatMessage(role="user", content=FRANCE)]

TOOLS = OpenAILike(
    model=MODEL, is_chat_model=True, is_function_calling_model=True, temperature=0, max_tokens=100, **COMMON
)


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def called():
    answer = TOOLS.chat_with_tools([FunctionTool.from_defaults(weather)], FRANCE, tool_required=True)
    [call] = TOOLS.get_tool_calls_from_response(answer)
    assert call.tool_name == "weather"


def image():
    blocks = [
        TextBlock(text="Which city is in the picture?"),
        ImageBlock(image=PICTURE.encode(), image_mimetype="image/png"),
    ]
    paris(model.chat([ChatMessage(role="user", blocks=blocks)]).message.content)


def refused():
    try:
        model.chat([ChatMessage(role="user", content=REFUSED)])
    except Exception as error:
        assert type(error).__name__ == "RateLimitError", error
    else:
        raise AssertionError("no error")


SCRIPTED = {} if is_local() else {"image": image, "error": refused}
run(
    {
        **SCRIPTED,
        "tool": called,
        "chat": lambda: paris(model.chat(ASK).message.content),
        "stream_chat": lambda: paris("".join(piece.delta or "" for piece in model.stream_chat(ASK))),
        "complete": lambda: paris(model.complete(FRANCE).text),
        "embedding": lambda: any(
            OpenAILikeEmbedding(model_name=EMBEDDING, **COMMON).get_text_embedding_batch(["one", "two"])[1]
        ),
    }
)
