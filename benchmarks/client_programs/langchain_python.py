"""LangChain (langchain-openai) against the gateway."""

from cells import BOTH, EMBEDDING, FRANCE, MODEL, PICTURE, REFUSED, URL, WEATHER, is_local, paris, run
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

COMMON = {"base_url": URL, "api_key": "none", "max_retries": 0, "timeout": 120}
chat = ChatOpenAI(model=MODEL, temperature=0, max_tokens=100, **COMMON)
TOOL = {"type": "function", "function": WEATHER}


class City(BaseModel):
    """A city."""

    city: str


def embedded():
    # by default it sends token ids, for which tiktoken downloads a file
    given = OpenAIEmbeddings(model=EMBEDDING, check_embedding_ctx_length=False, **COMMON)
    assert len(given.embed_documents(["one", "two"])) == 2


def called():
    call = chat.bind_tools([TOOL], tool_choice="weather").invoke(FRANCE).tool_calls[0]
    assert call["args"]["city"] in ("Paris", "Rome")


claude = ChatAnthropic(
    model=MODEL, temperature=0, max_tokens=100, base_url=URL.removesuffix("/v1"), api_key="none", max_retries=0
)


def parallel():
    assert len(chat.bind_tools([TOOL], tool_choice="weather").invoke(BOTH).tool_calls) == 2


def image():
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
    question = {"type": "text", "text": "Which city is in the picture?"}
    paris(chat.invoke([HumanMessage(content=[question, picture])]).content)


def refused():
    try:
        chat.invoke(REFUSED)
    except Exception as error:
        assert type(error).__name__ == "RateLimitError", error
    else:
        raise AssertionError("no error")


def called_by_anthropic():
    call = claude.bind_tools([TOOL], tool_choice="weather").invoke(FRANCE).tool_calls[0]
    assert call["args"]["city"] in ("Paris", "Rome")


SCRIPTED = {} if is_local() else {"parallel tools": parallel, "image": image, "error": refused}
run(
    {
        **SCRIPTED,
        "ChatAnthropic: message": lambda: paris(claude.invoke(FRANCE).text),
        "ChatAnthropic: message in a stream": lambda: paris("".join(chunk.text for chunk in claude.stream(FRANCE))),
        "ChatAnthropic: tool, message": called_by_anthropic,
        "invoke": lambda: paris(chat.invoke(FRANCE).content),
        "stream": lambda: paris("".join(chunk.content for chunk in chat.stream(FRANCE))),
        "tools": called,
        "structured, json_schema": lambda: City.model_validate(
            chat.with_structured_output(City, method="json_schema").invoke(FRANCE)
        ),
        "structured, function_calling": lambda: City.model_validate(
            chat.with_structured_output(City, method="function_calling").invoke(FRANCE)
        ),
        "responses": lambda: paris(
            ChatOpenAI(model=MODEL, use_responses_api=True, temperature=0, **COMMON).invoke(FRANCE).content
        ),
        "embeddings": embedded,
    }
)
