// Vercel's AI SDK against the gateway: @ai-sdk/openai-compatible (chat) and @ai-sdk/openai (responses).
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateObject, generateText, streamText, tool } from "ai";
import { z } from "zod";
import { BOTH, EMBEDDING, FRANCE, MODEL, PICTURE, REFUSED, SCRIPTED, URL_, city, paris, run } from "./cells.mjs";

const compatible = createOpenAICompatible({ name: "gw", baseURL: URL_, apiKey: "none", supportsStructuredOutputs: true });
const openai = createOpenAI({ baseURL: URL_, apiKey: "none" });
const common = { prompt: FRANCE, temperature: 0, maxOutputTokens: 100, maxRetries: 0 };
const City = z.object({ city: z.enum(["Paris", "Rome"]) });
const tools = { weather: tool({ description: "Tells the weather of a city.", inputSchema: City }) };
const model = compatible(MODEL);

const claude = createAnthropic({ baseURL: URL_, apiKey: "none" })(MODEL);

const scripted = {
  "parallel tools": async () => {
    const { toolCalls } = await generateText({ model, tools, toolChoice: "required", ...common, prompt: BOTH });
    if (toolCalls.length !== 2) throw new Error("not two calls");
  },
  image: async () => {
    const question = { type: "text", text: "Which city is in the picture?" };
    const content = [question, { type: "image", image: Buffer.from(PICTURE, "base64"), mediaType: "image/png" }];
    paris((await generateText({ model, messages: [{ role: "user", content }], maxRetries: 0 })).text);
  },
  thinking: async () => {
    const providerOptions = { gw: { reasoningEffort: "low" } };
    const { reasoningText } = await generateText({ model, ...common, providerOptions });
    if (!reasoningText) throw new Error("no reasoning");
  },
  error: async () => {
    const error = await generateText({ model, ...common, prompt: REFUSED }).catch((refused) => refused);
    if (error.statusCode !== 429) throw new Error(String(error));
  },
};

await run({
  ...(SCRIPTED ? scripted : {}),
  "anthropic(): message": async () => paris((await generateText({ model: claude, ...common })).text),
  "anthropic(): message in a stream": async () => paris(await streamText({ model: claude, ...common }).text),
  "anthropic(): tool, message": async () => {
    const { toolCalls } = await generateText({ model: claude, tools, toolChoice: "required", ...common });
    city(toolCalls[0].input);
  },
  generateText: async () => paris((await generateText({ model, ...common })).text),
  streamText: async () => paris(await streamText({ model, ...common }).text),
  generateObject: async () => city((await generateObject({ model, schema: City, ...common })).object),
  "tool required": async () => {
    const { toolCalls } = await generateText({ model, tools, toolChoice: "required", ...common });
    city(toolCalls[0].input);
  },
  "openai(): generateText": async () => paris((await generateText({ model: openai(MODEL), ...common })).text),
  "openai(): store false, reasoning": async () => {
    const providerOptions = { openai: { store: false, forceReasoning: true } };
    paris((await generateText({ model: openai(MODEL), prompt: FRANCE, maxRetries: 0, providerOptions })).text);
  },
  "openai(): streamText": async () => paris(await streamText({ model: openai(MODEL), ...common }).text),
  embed: async () => {
    const { embedding } = await embed({ model: compatible.textEmbeddingModel(EMBEDDING), value: "one", maxRetries: 0 });
    if (!(embedding.length > 1)) throw new Error("no vector");
  },
});
