// socket.io-client under the control of a test: one JSON command a line on standard input, one JSON
// report a line on standard output. `node client.js <url> <transports, comma-separated>`
"use strict";

const readline = require("node:readline");
const { io } = require("socket.io-client");

const [url, transports] = process.argv.slice(2);
const socket = io(url, { transports: transports.split(","), reconnectionDelay: 100 });
const report = (what) => process.stdout.write(JSON.stringify(what) + "\n");
let answer; // what `command` is acked with

socket.on("connect", () => report({ what: "connect", sid: socket.id }));
socket.on("disconnect", (reason) => report({ what: "disconnect", reason }));
socket.on("connect_error", (error) => report({ what: "connect_error", message: error.message }));
socket.onAny((event, ...rest) => {
  const ack = typeof rest.at(-1) === "function" ? rest.pop() : undefined;
  report({ what: "event", event, payload: rest[0] });
  if (event === "command" && ack && answer !== undefined) ack(answer);
});

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const { number, does, event, payload } = JSON.parse(line);
  if (does === "call") {
    const ack = await socket.timeout(10000).emitWithAck(event, payload).catch((error) => ({ failed: error.message }));
    report({ what: "ack", number, ack });
  } else if (does === "emit") {
    socket.emit(event, payload);
  } else if (does === "answer") {
    answer = payload;
  } else if (does === "binary") {
    report({ what: "ack", number, ack: await socket.timeout(10000).emitWithAck(event, Buffer.from("ff00", "hex")) });
  } else if (does === "transport") {
    report({ what: "ack", number, ack: socket.io.engine.transport.name });
  } else if (does === "close") {
    if (!socket.connected) process.exit(0);
    socket.io.engine.once("close", () => process.exit(0)); // once all is written
    socket.disconnect();
  }
}).on("close", () => process.exit(0));
