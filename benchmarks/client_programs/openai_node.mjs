// openai-node against the gateway.
import OpenAI from "openai";
import { BOTH, CITY, EMBEDDING, FRANCE, MODEL, PICTURE, REFUSED, SCRIPTED, URL_, city, paris, run } from "./cells.mjs";

const client = new OpenAI({ baseURL: URL_, apiKey: "none", maxRetries: 0 });
const ask = { model: MODEL, messages: [{ role: "user", content: FRANCE }], temperature: 0, max_tokens: 100 };
const tools = [{ type: "function", function: { name: "weather", parameters: CITY } }];

const user = (content) => ({ ...ask, messages: [{ role: "user", content }] });

const scripted = {
  "parallel tools": async () => {
    const reply = await client.chat.completions.create({ ...user(BOTH), tools, tool_choice: "required" });
    if (new Set(reply.choices[0].message.tool_calls.map((call) => call.id)).size !== 2) throw new Error("not two calls");
  },
  image: async () => {
    const picture = { type: "image_url", image_url: { url: `data:image/png;base64,${PICTURE}` } };
    const question = { type: "text", text: "Which city is in the picture?" };
    paris((await client.chat.completions.create(user([question, picture]))).choices[0].message.content);
  },
  thinking: async () => {
    const { message } = (await client.chat.completions.create({ ...ask, reasoning_effort: "low" })).choices[0];
    if (!message.reasoning_content) throw new Error("no reasoning");
  },
  error: async () => {
    const error = await client.chat.completions.create(user(REFUSED)).catch((refused) => refused);
    if (!(error instanceof OpenAI.RateLimitError)) throw new Error(String(error));
  },
};

await run({
  ...(SCRIPTED ? scripted : {}),
  errors: async () => {
    const error = await client.chat.completions.create({ ...ask, messages: [] }).catch((refused) => refused);
    if (!(error instanceof OpenAI.BadRequestError)) throw new Error(String(error));
  },
  cancel: async () => {
    const stream = await client.chat.completions.create({ ...ask, stream: true });
    for await (const _ of stream) break;
    paris((await client.chat.completions.create(ask)).choices[0].message.content);
  },
  json_schema: async () => {
    const response_format = { type: "json_schema", json_schema: { name: "city", strict: true, schema: CITY } };
    city(JSON.parse((await client.chat.completions.create({ ...ask, response_format })).choices[0].message.content));
  },
  files: async () => {
    const file = await client.files.create({ file: await OpenAI.toFile(Buffer.from("Paris."), "a.txt"), purpose: "assistants" });
    if ((await client.files.retrieve(file.id)).bytes !== 6) throw new Error("another size");
    await client.files.delete(file.id);
  },
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
