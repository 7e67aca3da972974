// The Node client of Anthropic's API against the gateway, whose models speak chat.
import Anthropic from "@anthropic-ai/sdk";
import { CITY, FRANCE, MODEL, URL_, city, paris, run } from "./cells.mjs";

const client = new Anthropic({ baseURL: URL_.replace(/\/v1$/, ""), apiKey: "none", maxRetries: 0 });
const ask = { model: MODEL, max_tokens: 100, temperature: 0, messages: [{ role: "user", content: FRANCE }] };
const tools = [{ name: "weather", input_schema: CITY }];
const use = (message) => message.content.find((block) => block.type === "tool_use");

await run({
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
