// What the Node programs of this folder share; see cells.py.
export const [URL_, MODEL, EMBEDDING] = process.argv.slice(2);
export const FRANCE = "What is the capital of France?";
export const BOTH = "What is the weather in the capital of France and of Italy?";
export const REFUSED = "Refuse this.";
export const PICTURE =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
export const SCRIPTED = MODEL.includes("scripted");
export const CITY = {
  type: "object",
  properties: { city: { type: "string", enum: ["Paris", "Rome"] } },
  required: ["city"],
  additionalProperties: false,
};

export async function run(cells) {
  for (const [cell, ask] of Object.entries(cells)) {
    let wrong = "";
    try {
      await ask();
    } catch (error) {
      wrong = String(error).slice(0, 300);
    }
    console.log(JSON.stringify({ cell, wrong }));
  }
}

export function paris(text) {
  if (!String(text).includes("Paris")) throw new Error(`no Paris in ${JSON.stringify(text)}`);
}

export function city(value) {
  if (!["Paris", "Rome"].includes(value.city)) throw new Error(`no city in ${JSON.stringify(value)}`);
}
