// The test page: lists the fleet live, sends a command, shows its fate. All that speaks to the service is
// muster-client, as in any page; text is only ever set as text, never as HTML.
import { Fleet, Operator } from "/client/muster-client.js";

const element = (id) => document.getElementById(id);
let fleet = null;            // watches all sessions
let operator = null;         // sends commands
const fates = new Map();     // command id → what the list shows of it
const latest = new Map();    // data key → [value, ts] of the picked device
const early = new Map();     // updates that overtook the answer to their own command
let sending = 0;             // commands whose answer has not come
let picked = null;
let drawing = false;

function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; draw(); });
}

function make(tag, text, properties = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) made.textContent = text;
  return made;
}

function clock(seconds) { return seconds ? new Date(seconds * 1000).toLocaleTimeString() : "–"; }

function draw() {
  const words = element("filter").value.trim().toLowerCase();
  const shown = [...fleet.sessions.values()]
    .filter((d) => !words || `${d.session_id} ${d.session_name} ${d.project_id}`.toLowerCase().includes(words))
    .sort((a, b) => (a.state === b.state ? (a.session_id < b.session_id ? -1 : 1) : a.state === "active" ? -1 : 1))
    .slice(0, 300);
  element("devices").replaceChildren(...shown.map((device) => {
    const row = make("li");
    row.dataset.state = device.state;
    row.dataset.id = device.session_id;
    row.tabIndex = 0;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(device.session_id === picked));
    row.append(make("span", undefined, { className: "dot" }), make("span", device.session_name || device.session_id));
    row.append(make("small", [device.session_name && device.session_id, device.project_id, device.state].filter(Boolean).join(" · ")));
    return row;
  }));
  element("no-devices").hidden = fleet.sessions.size > 0;
  const device = fleet.sessions.get(picked);
  if (fleet.counts) showCounts(fleet.counts);
  element("target").textContent = picked === null ? "Pick a device" : device?.session_name || picked;
  element("facts").replaceChildren(...(device ? Object.entries({
    Id: device.session_id, State: device.state, Node: device.node_id ?? "–", "Connected since": device.is_connected ? clock(device.start_time) : "–",
    "Setup version": `${device.setup_version}${device.in_sync ? ", in sync" : ", device not in sync"}`,
    "Open commands": device.open_commands,
  }).flatMap(([name, value]) => [make("dt", name), make("dd", String(value))]) : []));
  element("send").disabled = picked === null;
  element("telemetry").tBodies[0].replaceChildren(...[...latest].sort().map(([key, [value, ts]]) => {
    const row = make("tr");
    row.append(make("td", key), make("td", JSON.stringify(value)), make("td", clock(ts)));
    return row;
  }));
  element("no-telemetry").hidden = latest.size > 0;
}

function drawFate(id) {
  const fate = fates.get(id);
  const row = fate.row ?? (fate.row = make("li"));
  const status = make("span", fate.road.at(-1), { className: "status" });
  status.dataset.status = fate.road.at(-1);
  row.replaceChildren(make("span", `${fate.command} → ${fate.device}`), status, make("span", fate.road.join(" → "), { className: "road" }));
  const answer = fate.error ?? fate.result;
  if (answer !== undefined && answer !== null) {
    row.append(make("pre", typeof answer === "string" ? answer : JSON.stringify(answer, null, 1), { className: "answer" }));
  }
  if (!row.isConnected) element("fates").prepend(row);
  while (element("fates").childElementCount > 50) element("fates").lastElementChild.remove();
  element("no-fates").hidden = true;
}

function step(update) {
  const fate = fates.get(update.command_id);
  if (!fate) {
    if (sending) early.set(update.command_id, [...(early.get(update.command_id) ?? []), update]);
    return;
  }
  if (fate.road.at(-1) !== update.status) fate.road.push(update.status);
  fate.result = update.result ?? fate.result;
  fate.error = update.error ?? fate.error;
  drawFate(update.command_id);
}

async function pick(id) {
  picked = id;
  latest.clear();
  drawSoon();
  try {
    const session = await operator.session(id);
    if (picked !== id) return;
    for (const [key, samples] of Object.entries(session.data ?? {})) {
      if (samples.length && !latest.has(key)) latest.set(key, samples.at(-1));
    }
  } catch { /* its values will come with the next update */ }
  drawSoon();
}

/** Watch with the token of this tab, until the service refuses it. */
async function watch() {
  const token = sessionStorage.getItem("token") || undefined;
  const options = { token, samples: "latest", intervalMs: 500 };
  fleet = new Fleet(location.origin, options);
  operator = new Operator(location.origin, { token });
  const changes = fleet.changes();
  fleet.start();
  try {
    for await (const change of changes) take(change);
  } catch (error) {
    showLink("offline", error.message);
    element("login").hidden = error.code !== "not_authenticated";
    element("login-error").textContent = error.message;
  }
}

function take(change) {
  if (change.kind === "state") {
    const isThere = ["live", "conflated", "stale"].includes(change.state);
    if (isThere) element("login").hidden = true;
    if (!isThere) showLink("offline", `${change.state}, trying again`);
    else if (change.state === "stale") showLink("offline", "stale: what happens now comes later");
    else showLink("live", "live");
  } else if (change.kind === "command") {
    step(change.command);
  } else if (change.kind === "samples" && change.sessionId === picked) {
    for (const [key, value, ts] of change.samples) latest.set(key, [value, ts]);
  }
  drawSoon();
}

function showLink(state, text) {
  element("link").dataset.state = state;
  element("link-text").textContent = text;
}

function showCounts({ active, inactive, archived }) {
  element("counts").textContent = `${active} active · ${inactive} inactive · ${archived} archived`;
}

element("filter").addEventListener("input", drawSoon);
element("devices").addEventListener("click", ({ target }) => {
  const row = target.closest("li");
  if (row) pick(row.dataset.id);
});
element("devices").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  pick(event.target.dataset.id);
});
element("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  element("error").textContent = "";
  const device = picked;
  const command = element("command").value;
  const text = element("params").value.trim();
  let params;
  try {
    params = text ? JSON.parse(text) : undefined;
  } catch (error) {
    element("error").textContent = `The parameters are not JSON: ${error.message}`;
    return;
  }
  try {
    sending += 1;
    const answer = await operator.sendCommand(device, command, params, { ttlS: Number(element("ttl").value) });
    fates.set(answer.command_id, { command, device, road: [answer.status] });
    drawFate(answer.command_id);
    for (const update of early.get(answer.command_id) ?? []) step(update);
  } catch (error) {
    element("error").textContent = error.message;
  } finally {
    sending -= 1;
    if (!sending) early.clear();
  }
});

element("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", element("token").value.trim());
  element("token").value = "";
  await fleet.stop();
  watch();
});

watch();

