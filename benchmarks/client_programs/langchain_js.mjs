// LangChain for JavaScript against the gateway.
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { z } from "zod";
import { EMBEDDING, FRANCE, MODEL, URL_, city, paris, run } from "./cells.mjs";

const common = { apiKey: "none", maxRetries: 0, configuration: { baseURL: URL_ } };
const chat = new ChatOpenAI({ model: MODEL, temperature: 0, maxTokens: 100, ...common });
const City = z.object({ city: z.enum(["Paris", "Rome"]) });

await run({
  invoke: async () => paris((await chat.invoke(FRANCE)).content),
  stream: async () => {
    let text = "";
    for await (const chunk of await chat.stream(FRANCE)) text += chunk.content;
    paris(text);
  },
  "structured, jsonSchema": async () => city(await chat.withStructuredOutput(City, { method: "jsonSchema" }).invoke(FRANCE)),
  "structured, functionCalling": async () =>
    city(await chat.withStructuredOutput(City, { method: "functionCalling", name: "city" }).invoke(FRANCE)),
  embeddings: async () => {
    const vectors = await new OpenAIEmbeddings({ model: EMBEDDING, ...common }).embedDocuments(["one", "two"]);
    if (vectors.length !== 2 || !(vectors[0].length > 1)) throw new Error("no vectors");
  },
});
