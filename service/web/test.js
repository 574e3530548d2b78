// The test page: lists the fleet live, sends a command, shows its fate. No library: Socket.IO is
// spoken over one plain WebSocket (class Link), and text is only ever set as text, never as HTML.

const CALL_TIMEOUT_MS = 15_000;
const RETRY_MS = [500, 1000, 2000, 4000, 8000];

class Link extends EventTarget {
  #socket = null; #calls = new Map(); #next = 0; #failures = 0; #pause = 0;

  /** What the node is shown; kept for this tab alone. */
  get token() { return sessionStorage.getItem("token") ?? ""; }
  set token(text) { sessionStorage.setItem("token", text); this.#failures = 0; this.#pause = 0.2; this.#socket?.close(); }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = (this.#socket = new WebSocket(`${scheme}://${location.host}/socket.io/?EIO=4&transport=websocket`));
    socket.onmessage = ({ data }) => this.#receive(String(data));
    socket.onclose = () => this.#closed();
  }

  /** The ack of an event; rejects with the error the service answered, or when no ack comes. */
  call(event, payload) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return Promise.reject(new Error("Not connected."));
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      const timer = setTimeout(() => this.#settle(id, (call) => call.reject(new Error("No answer."))), CALL_TIMEOUT_MS);
      this.#calls.set(id, { resolve, reject, timer });
      this.#socket.send(`42${id}${JSON.stringify([event, payload])}`);
    });
  }

  #receive(text) {
    if (text === "2") this.#socket.send("3");
    else if (text[0] === "0") this.#socket.send(`40${this.token ? JSON.stringify({ token: this.token }) : ""}`);
    else if (text.startsWith("40")) { this.#failures = 0; this.#tell("live"); }
    else if (text.startsWith("42")) { const [event, payload] = JSON.parse(text.slice(2)); this.#tell(event, payload); }
    else if (text.startsWith("43")) {
      const at = text.indexOf("[");
      const [answer] = JSON.parse(text.slice(at));
      this.#settle(Number(text.slice(2, at)), (call) =>
        answer?.ok ? call.resolve(answer) : call.reject(new Error(answer?.error?.message ?? "Refused.")));
    } else if (text.startsWith("44")) {
      this.#tell("refused", JSON.parse(text.slice(2)));
      this.#socket.close();
    } else if (text.startsWith("41")) this.#socket.close();
  }

  #settle(id, how) {
    const call = this.#calls.get(id);
    if (!call) return;
    this.#calls.delete(id);
    clearTimeout(call.timer);
    how(call);
  }

  #closed() {
    for (const id of [...this.#calls.keys()]) this.#settle(id, (call) => call.reject(new Error("Connection lost.")));
    this.#tell("offline");
    const pause = this.#pause || RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)] * (0.5 + Math.random());
    this.#pause = 0;
    setTimeout(() => this.open(), pause);
  }

  /** The node is going away: come back after this long. */
  retryAfter(seconds) { this.#pause = 1000 * seconds; }

  #tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }
}

const element = (id) => document.getElementById(id);
const link = new Link();
const devices = new Map();   // session id → summary
const fates = new Map();     // command id → what the list shows of it
const latest = new Map();    // data key → [value, ts] of the picked device
let picked = null;
let cursor = null;
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
  const shown = [...devices.values()]
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
  element("no-devices").hidden = devices.size > 0;
  const device = devices.get(picked);
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
  let fate = fates.get(update.command_id);
  if (!fate) return void early.set(update.command_id, [...(early.get(update.command_id) ?? []), update]);
  if (fate.road.at(-1) !== update.status) fate.road.push(update.status);
  fate.result = update.result ?? fate.result;
  fate.error = update.error ?? fate.error;
  drawFate(update.command_id);
}
const early = new Map();     // updates that overtook the ack of their own command

async function pick(id) {
  picked = id;
  latest.clear();
  drawSoon();
  const connected = devices.get(id)?.state === "active";
  const event = connected ? "get_active_session" : "get_inactive_session";
  try {
    const { session } = await link.call(event, { device_id: id });
    if (picked !== id) return;
    for (const [key, samples] of Object.entries(session.data ?? {})) {
      if (samples.length) latest.set(key, samples.at(-1));
    }
  } catch { /* its values will come with the next update */ }
  drawSoon();
}

async function subscribe() {
  let page;
  try {
    do {
      const answer = await link.call("register_vue", { batch: true, interval_ms: 500, ...(page ? { page } : cursor ? { cursor } : {}) });
      if (!answer.recovered && !page) devices.clear();
      for (const device of [...(answer.active ?? []), ...(answer.inactive ?? [])]) devices.set(device.session_id, device);
      if (answer.counts) showCounts(answer.counts);
      cursor = answer.cursor ?? cursor;
      page = answer.next;
    } while (page);
    showLink("live", "live");
  } catch (error) {
    showLink("offline", error.message);
    setTimeout(subscribe, 2000);
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

link.addEventListener("live", () => { element("login").hidden = true; subscribe(); });
link.addEventListener("offline", () => showLink("offline", "offline, trying again"));
link.addEventListener("refused", ({ detail }) => {
  element("login").hidden = detail?.data?.code !== "not_authenticated";
  element("login-error").textContent = detail?.message ?? "Refused.";
});
link.addEventListener("service_error", ({ detail }) => { element("error").textContent = detail?.message ?? ""; });
link.addEventListener("resync", () => { cursor = null; subscribe(); });
link.addEventListener("draining", ({ detail }) => link.retryAfter(detail?.reconnect_after_s ?? 1));
link.addEventListener("sessions_update", ({ detail }) => {
  for (const device of detail.changed ?? []) devices.set(device.session_id, device);
  for (const id of detail.removed ?? []) devices.delete(id);
  if (detail.counts) showCounts(detail.counts);
  cursor = detail.cursor ?? cursor;
  drawSoon();
});
link.addEventListener("session_data_updates", ({ detail }) => {
  cursor = detail.cursor ?? cursor;
  for (const [id, , samples] of detail.updates ?? []) {
    if (id !== picked) continue;
    for (const [key, value, ts] of samples) latest.set(key, [value, ts]);
    drawSoon();
  }
});
link.addEventListener("command_update", ({ detail }) => step(detail));

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
    const answer = await link.call("send_command", { device_id: device, command, params, ttl_s: Number(element("ttl").value) });
    fates.set(answer.command_id, { command, device, road: [answer.status] });
    drawFate(answer.command_id);
    for (const update of early.get(answer.command_id) ?? []) step(update);
    early.clear();
  } catch (error) {
    element("error").textContent = error.message;
  }
});

element("login").addEventListener("submit", (event) => {
  event.preventDefault();
  cursor = null;
  link.token = element("token").value.trim();
  element("token").value = "";
});

link.open();
