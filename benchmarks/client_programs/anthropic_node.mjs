// The Node client of Anthropic's API against the gateway, whose models speak chat.
import Anthropic from "@anthropic-ai/sdk";
import { BOTH, CITY, FRANCE, MODEL, PICTURE, REFUSED, SCRIPTED, URL_, city, paris, run } from "./cells.mjs";

const client = new Anthropic({ baseURL: URL_.replace(/\/v1$/, ""), apiKey: "none", maxRetries: 0 });
const ask = { model: MODEL, max_tokens: 100, temperature: 0, messages: [{ role: "user", content: FRANCE }] };
const tools = [{ name: "weather", input_schema: CITY }];
const use = (message) => message.content.find((block) => block.type === "tool_use");

const user = (content) => ({ ...ask, messages: [{ role: "user", content }] });

const scripted = {
  "parallel tools": async () => {
    const { content } = await client.messages.create({ ...user(BOTH), tools, tool_choice: { type: "any" } });
    if (content.filter((block) => block.type === "tool_use").length !== 2) throw new Error("not two calls");
  },
  image: async () => {
    const source = { type: "base64", media_type: "image/png", data: PICTURE };
    const question = { type: "text", text: "Which city is in the picture?" };
    paris((await client.messages.create(user([{ type: "image", source }, question]))).content[0].text);
  },
  thinking: async () => {
    const { temperature, ...rest } = ask;
    const wish = { ...rest, max_tokens: 2000, thinking: { type: "adaptive" }, output_config: { effort: "low" } };
    const { content } = await client.messages.create(wish);
    if (content[0].type !== "thinking") throw new Error("no thinking");
  },
  error: async () => {
    const error = await client.messages.create(user(REFUSED)).catch((refused) => refused);
    if (!(error instanceof Anthropic.RateLimitError)) throw new Error(String(error));
  },
};

await run({
  ...(SCRIPTED ? scripted : {}),
  cancel: async () => {
    for await (const _ of await client.messages.create({ ...ask, stream: true })) break;
    paris((await client.messages.create(ask)).content[0].text);
  },
  message: async () => paris((await client.messages.create(ask)).content[0].text),
  "stream()": async () => {
    const final = await client.messages.stream(ask).finalMessage();
    paris(final.content[0].text);
    if (!final.usage.output_tokens || !final.usage.input_tokens) throw new Error("no usage");
  },
  "stream: true": async () => {
    let text = "";
    for await (const event of await client.messages.create({ ...ask, stream: true })) text += event.delta?.text ?? "";
    paris(text);
  },
  "tool required": async () => city(use(await client.messages.create({ ...ask, tools, tool_choice: { type: "any" } })).input),
  "tool in a stream": async () => {
    const final = await client.messages.stream({ ...ask, tools, tool_choice: { type: "tool", name: "weather" } }).finalMessage();
    city(use(final).input);
  },
  count_tokens: async () => {
    const { input_tokens } = await client.messages.countTokens({ model: MODEL, messages: ask.messages });
    if (!(input_tokens > 3)) throw new Error(`${input_tokens} tokens`);
  },
  refusal: async () => {
    const error = await client.messages.create({ ...ask, messages: [] }).catch((refused) => refused);
    if (!(error instanceof Anthropic.BadRequestError)) throw new Error(String(error));
  },
});
