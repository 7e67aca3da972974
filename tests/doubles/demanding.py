"""Stubs of providers whose model calls a tool, and that refuse a second request without what they signed in the first.

Requests are checked with the providers' own types: those of Google's client, and AWS's model of its API.
"""

import base64
import json
from typing import Any

import botocore.session
from botocore.validate import ParamValidator
from google.genai import types

from tests.doubles.aws import STREAM_HEADERS, is_signed, stream
from tests.doubles.upstream import Script, Upstream

WORDS = "It is 18 degrees."
SIGNATURE = "QUJD+/8="
AWS_SECRET = "the-secret-of-aws"
JSON = [("content-type", "application/json")]
EVENTS = [("content-type", "text/event-stream")]


class DemandingStub(Upstream):
    """Answers with a call of the tool, and then with `WORDS` if the request has what the call was signed with."""

    def _next(self, body: bytes) -> Script:
        line = self.received[-1].line
        try:
            is_second = self.check(json.loads(body))
        except Exception as error:
            self.faults.append(f"{type(error).__name__}: {error}")
            return Script(400, pieces=[self.refusal(str(error))])
        return self.answer(is_second, "stream" in line)

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def check(self, request: Any) -> bool:
        """Return whether the request has the tool's result. Raises an error if the request is not right."""
        raise NotImplementedError

    def answer(self, is_second: bool, as_stream: bool) -> Script:
        raise NotImplementedError

    def refusal(self, message: str) -> bytes:
        raise NotImplementedError


class GeminiStub(DemandingStub):
    """Google's Gemini API with a model that signs its calls and its texts."""

    def check(self, request: Any) -> bool:
        assert self.received[-1].headers["x-goog-api-key"] == "google-key"
        for content in request["contents"]:
            types.Content.model_validate(content)
        types.GenerationConfig.model_validate(request.get("generationConfig", {}))
        for tool in request["tools"]:
            types.Tool.model_validate(tool)
        parts = [part for content in request["contents"] for part in content["parts"]]
        calls = [part for part in parts if "functionCall" in part]
        if not calls:
            return False
        (call,) = calls
        # JSON for Google's servers may have either alphabet of base64, and Google's own client uses the other one
        signature = call.get("thoughtSignature", "").replace("-", "+").replace("_", "/")
        assert signature == SIGNATURE, "the call lacks its signature"
        assert call["functionCall"] == {"name": "weather", "args": {"city": "Zürich"}, "id": "fc-1"}
        (result,) = [part["functionResponse"] for part in parts if "functionResponse" in part]
        assert result == {"name": "weather", "id": "fc-1", "response": {"output": "18"}}
        return True

    def answer(self, is_second: bool, as_stream: bool) -> Script:
        call = {"name": "weather", "args": {"city": "Zürich"}, "id": "fc-1"}
        parts: list[dict[str, Any]] = [
            {"text": "I should look.", "thought": True},
            {"text": WORDS} if is_second else {"functionCall": call, "thoughtSignature": SIGNATURE},
        ]
        usage = {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 5, "totalTokenCount": 18}
        answers: list[dict[str, Any]] = [
            {"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}], "usageMetadata": usage}
            for part in parts
        ]
        answers[-1]["candidates"][0]["finishReason"] = "STOP"
        if as_stream:
            return Script(headers=EVENTS, pieces=[f"data: {json.dumps(each)}\r\n\r\n".encode() for each in answers])
        answers[-1]["candidates"][0]["content"]["parts"] = parts
        return Script(headers=JSON, pieces=[json.dumps(answers[-1]).encode()])

    def refusal(self, message: str) -> bytes:
        return json.dumps({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}).encode()


class BedrockStub(DemandingStub):
    """Amazon Bedrock with a model that reasons, and signs its reasoning. Requests must be signed."""

    def __init__(self) -> None:
        super().__init__()
        model = botocore.session.get_session().get_service_model("bedrock-runtime")
        self._shape = model.operation_model("Converse").input_shape

    def check(self, request: Any) -> bool:
        assert is_signed(self.received[-1], AWS_SECRET), "the request is not signed"
        report = ParamValidator().validate({"modelId": "m", **_decoded(request)}, self._shape)
        assert not report.has_errors(), report.generate_report()
        blocks = [block for message in request["messages"] for block in message["content"]]
        calls = [block["toolUse"] for block in blocks if "toolUse" in block]
        if not calls:
            return False
        assert calls == [{"toolUseId": "tooluse_1", "name": "weather", "input": {"city": "Zürich"}}]
        (result,) = [block["toolResult"] for block in blocks if "toolResult" in block]
        assert result == {"toolUseId": "tooluse_1", "content": [{"text": "18"}]}
        if "thinking" in request.get("additionalModelRequestFields", {}):
            (thinking,) = [block["reasoningContent"] for block in blocks if "reasoningContent" in block]
            assert thinking == {"reasoningText": {"text": "I should look.", "signature": SIGNATURE}}
        return True

    def answer(self, is_second: bool, as_stream: bool) -> Script:
        usage = {"inputTokens": 9, "outputTokens": 9, "totalTokens": 18}
        stop = {"stopReason": "end_turn" if is_second else "tool_use"}
        reasoning = {"text": "I should look.", "signature": SIGNATURE}
        call = {"toolUseId": "tooluse_1", "name": "weather", "input": {"city": "Zürich"}}
        if not as_stream:
            block: dict[str, Any] = {"text": WORDS} if is_second else {"toolUse": call}
            message = {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": reasoning}}, block]}
            answer = {"output": {"message": message}, **stop, "usage": usage, "metrics": {"latencyMs": 1}}
            return Script(headers=JSON, pieces=[json.dumps(answer).encode()])
        deltas = [{"reasoningContent": {name: value}} for name, value in reasoning.items()]
        thought = [("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta}) for delta in deltas]
        start = {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "tooluse_1", "name": "weather"}}}
        delta = {"text": WORDS} if is_second else {"toolUse": {"input": json.dumps(call["input"])}}
        events: list[tuple[str, Any]] = [
            ("messageStart", {"role": "assistant"}),
            *thought,
            ("contentBlockStop", {"contentBlockIndex": 0}),
            *([] if is_second else [("contentBlockStart", start)]),
            ("contentBlockDelta", {"contentBlockIndex": 1, "delta": delta}),
            ("contentBlockStop", {"contentBlockIndex": 1}),
            ("messageStop", stop),
            ("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}),
        ]
        return Script(headers=STREAM_HEADERS, pieces=[stream(event) for event in events], framing="chunked")

    def refusal(self, message: str) -> bytes:
        return json.dumps({"message": message}).encode()


def _decoded(value: Any) -> Any:
    # the official client takes bytes, and encodes them as base64
    if isinstance(value, dict):
        return {name: base64.b64decode(each) if name == "bytes" else _decoded(each) for name, each in value.items()}
    return [_decoded(each) for each in value] if isinstance(value, list) else value
