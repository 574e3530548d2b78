// Does what an operator does with the device `steered`, and prints what came of it.
// `node operator.mjs <package> <url>`
import { pathToFileURL } from "node:url";

const [, , folder, url] = process.argv;
const { Conflict, Operator, Refused } = await import(pathToFileURL(`${folder}/dist/esm/index.js`));
const operator = new Operator(url);
const id = "steered";
const refusal = (error) => (error instanceof Refused ? error.code : String(error));

let isListed = false;
for await (const session of operator.sessions({ limit: 1 })) isListed ||= session.session_id === id;
const echo = await operator.sendCommand(id, "echo", { a: 1 }, { wait: "result" });
const failed = await operator.sendCommand(id, "nothing", null, { wait: "result" });
await operator.putSetup(id, { a: 1 });
const late = await operator.putSetup(id, {}, { version: 0 }).catch((error) => error);
const version = await operator.patchSetup(id, { a: 2 }, { version: 1 });
const { setup } = await operator.setup(id);
const batch = await operator.sendBulk("echo", 1, { sessionIds: [id] });
const { statuses } = await operator.waitForBulk(batch, 0);
const history = await operator.history(id, "n");
const nobody = await operator.session("no/body").catch(refusal);
await operator.delete(id);
const deleted = await operator.session(id).catch(refusal);
console.log(
  JSON.stringify({
    listed: isListed,
    echo: echo.result,
    failed: failed.error.code,
    history: history.map(([value]) => value),
    conflict: late instanceof Conflict ? late.version : String(late),
    version,
    patched: setup,
    bulk: statuses,
    nobody,
    deleted,
  }),
);
