"""LlamaIndex (OpenAILike) against the gateway."""

from cells import EMBEDDING, FRANCE, MODEL, URL, paris, run
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

COMMON = {"api_base": URL, "api_key": "none", "max_retries": 0, "timeout": 120}
model = OpenAILike(model=MODEL, is_chat_model=True, temperature=0, max_tokens=30, **COMMON)
ASK = [ChatMessage(role="user", content=FRANCE)]

run(
    {
        "chat": lambda: paris(model.chat(ASK).message.content),
        "stream_chat": lambda: paris("".join(piece.delta or "" for piece in model.stream_chat(ASK))),
        "complete": lambda: paris(model.complete(FRANCE).text),
        "embedding": lambda: any(
            OpenAILikeEmbedding(model_name=EMBEDDING, **COMMON).get_text_embedding_batch(["one", "two"])[1]
        ),
    }
)
