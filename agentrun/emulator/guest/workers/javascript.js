// Executes JavaScript for a context: a JSON line in on stdin's socket, a JSON line out, output on the ordinary descriptors.
"use strict";
const net = require("node:net");
const util = require("node:util");
const vm = require("node:vm");
const { createRequire } = require("node:module");

const MAX_TEXT = 1024 * 1024;
const control = new net.Socket({ fd: 0, readable: true, writable: true });
let input = "";
let queue = Promise.resolve();
let interrupt = null;

process.on("SIGINT", () => interrupt && interrupt(new Error("interrupted")));
process.on("uncaughtException", (error) => console.error(error));
process.on("unhandledRejection", (error) => console.error(error));
globalThis.require = createRequire(process.cwd() + "/");

function cut(text) {
  return text.length <= MAX_TEXT ? text : text.slice(0, MAX_TEXT) + "\n... [cut]";
}

function describe(error) {
  if (!(error instanceof Error)) return { name: "Error", value: cut(util.inspect(error)), text: cut(util.inspect(error)) };
  const own = (error.stack || String(error)).split("\n").filter((line) => !line.includes(__filename) && !line.includes("node:vm"));
  return { name: error.name, value: cut(error.message), text: cut(own.join("\n")) };
}

function evaluate(code) {
  const options = { filename: "<code>", breakOnSigint: true };
  try {
    return vm.runInThisContext(code, options);
  } catch (error) {
    if (!(error instanceof SyntaxError) || !/\bawait\b/.test(code)) throw error;
  }
  // Only modules have await at the top level, and they keep no names: an expression gives its value, statements run through.
  try {
    return vm.runInThisContext(`(async () => (${code}\n))()`, options);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return vm.runInThisContext(`(async () => {${code}\n})()`, options);
}

async function execute(code) {
  try {
    const interrupted = new Promise((_, reject) => (interrupt = reject));
    interrupted.catch(() => {});
    const settled = await Promise.race([evaluate(code), interrupted]);
    return { result: settled === undefined ? null : cut(util.inspect(settled)), error: null };
  } catch (error) {
    return { result: null, error: describe(error) };
  } finally {
    interrupt = null;
  }
}

async function serve(line) {
  const message = JSON.parse(line);
  if ("cwd" in message) process.chdir(message.cwd);
  else control.write(JSON.stringify(await execute(message.code)) + "\n");
}

control.setEncoding("utf8");
control.on("data", (data) => {
  const lines = (input + data).split("\n");
  input = lines.pop();
  for (const line of lines) queue = queue.then(() => serve(line));
});
control.on("end", () => process.exit(0));
