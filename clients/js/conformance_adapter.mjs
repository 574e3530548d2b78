// The adapter of clients/conformance for this package; it needs `npm ci && npm run build` in this folder, or in
// the one that MUSTER_JS_PACKAGE names. See clients/conformance/README.md.
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";

const wrongS = Number(process.env.CONFORMANCE_CLOCK_S ?? 0);
if (wrongS !== 0) {
  const now = Date.now;
  Date.now = () => now() + wrongS * 1000;
}
console.log = console.warn = console.info = console.error; // stdout is for answers

const folder = process.env.MUSTER_JS_PACKAGE ?? fileURLToPath(new URL(".", import.meta.url));
const { Device, Fleet, Operator, MusterError } = await import(pathToFileURL(`${folder}/dist/esm/index.js`));

const FEATURES = ["device", "buffer", "bounds", "token_function", "clock", "polling", "fleet", "samples", "operator"];
const clients = new Map(); // name → what was opened

/** Write a line in one piece, before anything else happens. */
function tell(message) {
  const line = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let done = 0; done < line.length; ) {
    try {
      done += writeSync(1, line, done);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

function plain(error) {
  const code = error instanceof MusterError ? error.code : "error";
  const more = error.version === undefined ? {} : { version: error.version };
  return { ...error.details, code: code === "invalid_sample" ? "invalid" : code, message: error.message, ...more };
}

/** Return the options that fields of a request stand for; what it leaves out has the package's default. */
function options(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
}

function token({ client, token: fixed, tokens }) {
  if (tokens === undefined) return fixed;
  let calls = 0;
  return () => {
    const index = Math.min(calls, tokens.length - 1);
    calls += 1;
    tell({ event: "token", client, index });
    return tokens[index];
  };
}

const requests = {
  hello: () => ({ sdk: "js", version: process.version, features: FEATURES }),

  async "device.open"(given) {
    const { client } = given;
    const event = (name) => (fields) => tell({ event: name, client, ...fields });
    const { samples, bytes, age_s: ageS } = given.bounds ?? {};
    const device = await Device.open(given.urls, given.device_id, {
      ...options({ name: given.name, projectId: given.project_id, meta: given.meta, token: token(given) }),
      ...options({ buffer: given.buffer, bounds: given.bounds && options({ samples, bytes, ageS }) }),
      transports: ["websocket", "polling"],
      onState: (state, why) => event("state")({ state, why }),
      onDrop: (count) => event("dropped")({ count }),
      onRefused: (key, error) => event("refused")({ key, error }),
    });
    const held = [];
    const hold = () => new Promise((resolve) => held.push(resolve));
    const fail = (message) => {
      throw new Error(message);
    };
    for (const [name, run] of Object.entries({ echo: (params) => params, fail, hold, hold_again: hold })) {
      const told = (params) => {
        event("command")({ name, params });
        return run(params);
      };
      device.command(name, told, { repeatable: name === "hold_again" });
    }
    if (given.setups === true) {
      device.onSetup((setup, version) => {
        event("setup")({ setup, version });
        if (setup?.fail === true) throw new Error("the setup says so");
      });
    }
    clients.set(client, { device, held });
    device.start();
    return {};
  },

  async "device.send"({ client, values, ts }) {
    await of(client).device.send(values, ts === undefined ? {} : { ts });
    return {};
  },

  async "device.send_many"({ client, key, first, count }) {
    for (let number = first; number < first + count; number += 1) await of(client).device.send({ [key]: number });
    return {};
  },

  "device.flush": async ({ client, timeout_s: timeoutS }) => ({ stored: await of(client).device.flush(timeoutS) }),

  "device.status"({ client }) {
    const { state, why, unacked } = of(client).device;
    return { state, why, unacked };
  },

  "device.release"({ client, result }) {
    of(client).held.shift()(result);
    return {};
  },

  async "device.stop"({ client }) {
    await of(client).device.stop();
    clients.delete(client);
    return {};
  },

  "fleet.open"(given) {
    const { client } = given;
    const fleet = new Fleet(given.urls, {
      ...options({ scope: given.scope, samples: given.samples, values: given.values, token: token(given) }),
      ...options({ intervalMs: given.interval_ms }),
      transports: ["websocket", "polling"],
    });
    const opened = { fleet, released: Promise.resolve(), release: () => {} };
    clients.set(client, opened);
    void follow(client, opened, fleet.changes());
    fleet.start();
    return {};
  },

  "fleet.read"({ client }) {
    const { fleet } = of(client);
    return { state: fleet.state, sessions: Object.fromEntries(fleet.sessions) };
  },

  "fleet.hold"({ client, held }) {
    const opened = of(client);
    opened.release();
    if (held) opened.released = new Promise((resolve) => (opened.release = resolve));
    return {};
  },

  async "fleet.close"({ client }) {
    await of(client).fleet.stop();
    clients.delete(client);
    return {};
  },

  operator(given) {
    const operator = new Operator(given.url, options({ token: given.token }));
    const call = calls[given.call];
    if (call === undefined) throw Object.assign(new MusterError("unsupported", given.call));
    return call(operator, given, given.session_id);
  },
};

const calls = {
  send_command: (operator, { command, params, wait, ttl_s: ttlS, timeout_s: timeoutS }, id) =>
    operator.sendCommand(id, command, params, options({ wait, ttlS, timeoutS })),
  command: (operator, { command_id: commandId }, id) => operator.command(id, commandId),
  cancel: (operator, { command_id: commandId }, id) => operator.cancel(id, commandId).then(() => ({})),
  async bulk(operator, { command, params, session_ids: sessionIds, timeout_s: timeoutS }) {
    const batch = await operator.sendBulk(command, params ?? null, { sessionIds });
    const { state, statuses } = await operator.waitForBulk(batch, timeoutS);
    const devices = [];
    for await (const one of operator.bulkDevices(batch)) devices.push(one);
    return { state, statuses, devices };
  },
  setup: (operator, _given, id) => operator.setup(id),
  put_setup: async (operator, { setup, version }, id) => ({
    version: await operator.putSetup(id, setup, options({ version })),
  }),
  patch_setup: async (operator, { patch, version }, id) => ({
    version: await operator.patchSetup(id, patch, options({ version })),
  }),
  session: (operator, _given, id) => operator.session(id),
  async sessions(operator, { state, project_id: projectId, limit }) {
    const ids = [];
    for await (const one of operator.sessions(options({ state, projectId, limit }))) ids.push(one.session_id);
    return { session_ids: ids };
  },
  history: async (operator, { key, limit }, id) => ({ samples: await operator.history(id, key, options({ limit })) }),
  delete: (operator, _given, id) => operator.delete(id).then(() => ({})),
  disconnect: (operator, given, id) => operator.disconnect(id, { retryAfterS: given.retry_after_s }),
  archive: (operator, _given, id) => operator.archive(id).then(() => ({})),
  restore: (operator, _given, id) => operator.restore(id).then(() => ({})),
};

function of(client) {
  const found = clients.get(client);
  if (found === undefined) throw new MusterError("unsupported", `there is no client ${client}`);
  return found;
}

/** Tell every change of a fleet, while it is not held. */
async function follow(client, opened, changes) {
  try {
    for (;;) {
      await opened.released;
      const { done, value } = await changes.next();
      if (done) return;
      await opened.released;
      const { kind, sessionId, samples, isConflated, command, state } = value;
      tell({
        event: "change",
        client,
        kind,
        session_id: sessionId,
        samples,
        conflated: isConflated,
        command,
        state,
      });
    }
  } catch (error) {
    tell({ event: "fleet_ended", client, error: plain(error) });
  }
}

/** What takes its time does not hold up others, not even those of the same client. */
const SLOW = new Set(["device.flush", "operator"]);
const queues = new Map(); // name → the end of what it was asked so far

async function answer(request) {
  try {
    const run = requests[request.do];
    if (run === undefined) throw new MusterError("unsupported", request.do);
    tell({ id: request.id, ok: await run(request) });
  } catch (error) {
    tell({ id: request.id, error: plain(error) });
  }
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const request = JSON.parse(line);
    const before = queues.get(request.client) ?? Promise.resolve();
    const done = before.then(() => {
      const answered = answer(request);
      return SLOW.has(request.do) ? undefined : answered;
    });
    if (request.client !== undefined) queues.set(request.client, done);
  })
  .on("close", () => process.exit(0));
