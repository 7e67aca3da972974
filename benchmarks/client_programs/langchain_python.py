"""LangChain (langchain-openai) against the gateway."""

from cells import EMBEDDING, FRANCE, MODEL, URL, WEATHER, paris, run
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


run(
    {
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
