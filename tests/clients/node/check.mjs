// One check of OpenAI's client, by its name, against the server at a base URL; prints what came of it as JSON.
//
//     node check.mjs http://127.0.0.1:8204/v1 chat
import { createReadStream, writeFileSync } from "node:fs";
import OpenAI, { NotFoundError, toFile } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const [baseURL, name] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0 });
const model = "sonnet";
const messages = [{ role: "user", content: "hello" }];

const weather = {
  type: "function",
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

const Person = z.object({
  name: z.string(),
  age: z.number().int().nullable(),
  pets: z.array(z.object({ kind: z.enum(["cat", "dog"]), lives: z.number() })),
});

// More than one read of a socket.
const night = Array.from({ length: 100 }, (_, n) => {
  const body = { model: "haiku", messages: [{ role: "user", content: `line ${n} ${"x".repeat(2000)}` }] };
  return `${JSON.stringify({ custom_id: `${n}`, method: "POST", url: "/v1/chat/completions", body })}\n`;
}).join("");

const checks = {
  chat: () => client.chat.completions.create({ model, messages }),

  async stream() {
    const chunks = [];
    const options = { model, messages, stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await client.chat.completions.create(options)) chunks.push(chunk);
    return chunks;
  },

  async stream_helper() {
    const events = [];
    const stream = client.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
    stream.on("content", (delta) => events.push(delta));
    return { deltas: events, completion: await stream.finalChatCompletion() };
  },

  tool: () => client.chat.completions.create({ model, messages, tools: [weather], tool_choice: "required" }),

  run_tools: () =>
    client.chat.completions
      .runTools({
        model,
        messages: [{ role: "user", content: "[[call:weather]]" }],
        tools: [
          {
            type: "function",
            function: { ...weather.function, parse: JSON.parse, function: ({ city }) => `sunny in ${city}` },
          },
        ],
      })
      .finalContent(),

  async parse() {
    const format = zodResponseFormat(Person, "person");
    const completion = await client.chat.completions.parse({ model, messages, response_format: format });
    return Person.parse(completion.choices[0].message.parsed);
  },

  async responses() {
    const first = await client.responses.create({ model, input: "hello" });
    const second = await client.responses.create({ model, input: "again", previous_response_id: first.id });
    return { first, text: second.output_text, read: await client.responses.retrieve(first.id) };
  },

  async responses_stream() {
    const events = [];
    for await (const event of await client.responses.create({ model, input: "hello", stream: true })) events.push(event);
    const helper = client.responses.stream({ model, input: "hello" });
    return { events, final: (await helper.finalResponse()).output_text };
  },

  async error() {
    try {
      await client.chat.completions.create({ model: "no-such-model", messages });
    } catch (e) {
      return { is: e instanceof NotFoundError, status: e.status, code: e.code, message: e.message, request: e.requestID };
    }
    return null;
  },

  async batch() {
    // In memory it goes with a Content-Length; read from a file, chunked, without one.
    const held = await client.files.create({ file: await toFile(Buffer.from(night), "night.jsonl"), purpose: "batch" });
    writeFileSync("night.jsonl", night);
    const file = await client.files.create({ file: createReadStream("night.jsonl"), purpose: "batch" });
    const stored = [];
    for (const { id } of [held, file]) stored.push((await (await client.files.content(id)).text()) === night);
    let batch = await client.batches.create({
      input_file_id: file.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
    const id = batch.id;
    while (!["completed", "failed", "expired", "cancelled"].includes(batch.status)) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      batch = await client.batches.retrieve(id);
    }
    const output = batch.output_file_id && (await (await client.files.content(batch.output_file_id)).text());
    return { files: [held, file], bytes: night.length, stored, batch, output };
  },
};

console.log(JSON.stringify(await checks[name]()));
