// openai-node against the gateway.
import OpenAI from "openai";
import { CITY, EMBEDDING, FRANCE, MODEL, URL_, city, paris, run } from "./cells.mjs";

const client = new OpenAI({ baseURL: URL_, apiKey: "none", maxRetries: 0 });
const ask = { model: MODEL, messages: [{ role: "user", content: FRANCE }], temperature: 0, max_tokens: 100 };
const tools = [{ type: "function", function: { name: "weather", parameters: CITY } }];

await run({
  chat: async () => paris((await client.chat.completions.create(ask)).choices[0].message.content),
  "stream with usage": async () => {
    let text = "", usage;
    for await (const chunk of await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } })) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    paris(text);
    if (!usage.completion_tokens) throw new Error("no usage");
  },
  "tool required": async () => {
    const reply = await client.chat.completions.create({ ...ask, tools, tool_choice: "required" });
    city(JSON.parse(reply.choices[0].message.tool_calls[0].function.arguments));
  },
  withResponse: async () => {
    const { response } = await client.chat.completions.create(ask).withResponse();
    if (!response.headers.get("x-foreword-id")) throw new Error("no x-foreword-id");
  },
  responses: async () => paris((await client.responses.create({ model: MODEL, input: FRANCE, temperature: 0 })).output_text),
  "responses stream": async () => {
    let text = "";
    for await (const event of await client.responses.create({ model: MODEL, input: FRANCE, temperature: 0, stream: true }))
      text += event.type === "response.output_text.delta" ? event.delta : "";
    paris(text);
  },
  // base64, which it decodes itself
  embeddings: async () => {
    const { data } = await client.embeddings.create({ model: EMBEDDING, input: ["one", "two"] });
    if (data.length !== 2 || !(data[0].embedding.length > 1)) throw new Error("no vectors");
  },
});
