// One check of a client for Node, by its name, against the server at a base URL; prints what came of it as JSON.
//
//     node check.mjs http://127.0.0.1:8204/v1 responses.turns
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { tool as langchainTool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAI } from "@langchain/openai";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false;
const [baseURL, name] = process.argv.slice(2);
const Person = z.object({ name: z.string() });
const City = z.object({ city: z.string() });

function aiSdk(model) {
  const ask = async (options) => await generateText({ model, maxRetries: 0, ...options });
  return {
    async turns() {
      const messages = [{ role: "user", content: "hello" }];
      const first = await ask({ messages });
      messages.push(...first.response.messages, { role: "user", content: "and now" });
      return [first.text, (await ask({ messages })).text];
    },
    async stream() {
      const pieces = [];
      for await (const piece of streamText({ model, prompt: "hello", maxRetries: 0 }).textStream) pieces.push(piece);
      return pieces.join("");
    },
    async tools() {
      const weather = tool({ inputSchema: City, execute: ({ city }) => `sunny in ${city}` });
      return (await ask({ prompt: "[[call:weather]]", tools: { weather }, stopWhen: stepCountIs(3) })).text;
    },
    object: async () => (await ask({ prompt: "Who?", output: Output.object({ schema: Person }) })).output,
  };
}

function langchain(options) {
  const given = { apiKey: "unused", maxRetries: 0, configuration: { baseURL }, ...options };
  const model = new ChatOpenAI(given);
  const weather = langchainTool(({ city }) => city, { name: "weather", schema: City });
  return {
    async turns() {
      const first = await model.invoke("hello");
      return [first.text, (await model.invoke([["user", "hello"], first, ["user", "and now"]])).text];
    },
    async stream() {
      const pieces = [];
      for await (const piece of await model.stream("hello")) pieces.push(piece.text);
      return pieces.join("");
    },
    tools: async () => (await model.bindTools([weather]).invoke("[[call:weather]]")).tool_calls[0].name,
    object: () => model.withStructuredOutput(Person).invoke("Who?"),
    completion: () => new OpenAI(given).invoke("hello"),
  };
}

const ours = createOpenAI({ baseURL, apiKey: "unused" });
const compatible = createOpenAICompatible({
  name: "ours",
  baseURL,
  apiKey: "unused",
  supportsStructuredOutputs: true,
});
const clients = {
  responses: aiSdk(ours("sonnet")),
  chat: aiSdk(ours.chat("sonnet")),
  compatible: aiSdk(compatible("sonnet")),
  // It names a model of OpenAI's by itself.
  langchain: langchain({}),
  langchainResponses: langchain({ model: "sonnet", useResponsesApi: true }),
};
const [client, check] = name.split(".");
console.log(JSON.stringify(await clients[client][check]()));
