// Executes JavaScript for a context: a JSON line in on stdin's socket, a JSON line out, output on the ordinary descriptors.
//
// The inspector evaluates as its console does: names stay, may be declared again, and `await` works at the top level.
"use strict";
const inspector = require("node:inspector");
const net = require("node:net");
const util = require("node:util");
const vm = require("node:vm");
const { createRequire } = require("node:module");

const MAX_TEXT = 1024 * 1024;
const control = new net.Socket({ fd: 0, readable: true, writable: true });
const session = new inspector.Session();
// Only a script of vm's can be interrupted while it does not come back to the event loop.
const interruptible = new vm.Script("process[Symbol.for('agentrun.work')]()");
const WORK = Symbol.for("agentrun.work");
const VALUE = Symbol.for("agentrun.value");
let input = "";
let queue = Promise.resolve();
let interrupt = null;

session.connect();
process.on("SIGINT", () => interrupt && interrupt(new Error("interrupted")));
process.on("uncaughtException", (error) => console.error(error));
process.on("unhandledRejection", (error) => console.error(error));
globalThis.require = createRequire(process.cwd() + "/");

function cut(text) {
  return text.length <= MAX_TEXT ? text : text.slice(0, MAX_TEXT) + "\n... [cut]";
}

function isOwnFrame(line) {
  return /^\s+at /.test(line) && (line.includes(__filename) || /\bnode:|evalmachine\.|at new Promise/.test(line));
}

function describe(error) {
  if (!util.types.isNativeError(error)) return { name: "Error", value: cut(util.inspect(error)), text: cut(util.inspect(error)) };
  const lines = String(error.stack || error).split("\n").filter((line) => !isOwnFrame(line));
  return { name: String(error.name), value: cut(String(error.message)), text: cut(lines.join("\n")) };
}

function post(method, parameters) {
  return new Promise((resolve, reject) => {
    session.post(method, parameters, (failure, answer) => (failure ? reject(failure) : resolve(answer)));
  });
}

// The inspector gives a reference; the function that it calls on that gets at the value itself.
async function dereference(reference) {
  if (reference.objectId === undefined) {
    if (reference.unserializableValue === undefined) return reference.value;
    return vm.runInThisContext(`(${reference.unserializableValue})`);
  }
  const functionDeclaration = "function () { process[Symbol.for('agentrun.value')] = this; }";
  await post("Runtime.callFunctionOn", { objectId: reference.objectId, functionDeclaration });
  await post("Runtime.releaseObject", { objectId: reference.objectId });
  return process[VALUE];
}

async function evaluate(code) {
  const parameters = { expression: code, replMode: true, awaitPromise: true };
  process[WORK] = () => post("Runtime.evaluate", parameters);
  const answer = await interruptible.runInThisContext({ breakOnSigint: true });
  if (answer.exceptionDetails) throw await dereference(answer.exceptionDetails.exception);
  return dereference(answer.result);
}

async function execute(code) {
  try {
    const interrupted = new Promise((_, reject) => (interrupt = reject));
    interrupted.catch(() => {});
    const value = await Promise.race([evaluate(code), interrupted]);
    return { result: value === undefined ? null : { "text/plain": cut(util.inspect(value)) }, error: null };
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
