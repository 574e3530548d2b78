// Addresses that are tried, tokens that are read, and delays.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Connector } from "../dist/esm/connector.js";
import { NotConnected, Refused } from "../dist/esm/errors.js";
import { Socket } from "../dist/esm/socket.js";
import { Backoff, LONGEST_MS, Sleeper, Timer } from "../dist/esm/time.js";
import { tokenLeftS } from "../dist/esm/tokens.js";
import { fakeTime } from "./helpers.mjs";

const connector = (...urls) => new Connector(urls, {});

test("nodes that are named are tried once each, behind those that are given", () => {
  const made = connector("http://a", "http://b/");
  made.learn(["http://c", "http://a/", "http://b", "http://c/"]);
  assert.deepEqual(made.urls, ["http://a", "http://b/", "http://c"]);
});

test("given addresses stay, and nodes that are named no more go, but for the present one", () => {
  const made = connector("http://a", "http://b");
  made.learn(["http://c", "http://d"]);
  made.next();
  made.next();
  assert.equal(made.url, "http://c");
  made.learn(["http://e"]);
  assert.deepEqual([...made.urls].sort(), ["http://a", "http://b", "http://c", "http://e"]);
  made.next();
  made.learn([]);
  assert.deepEqual([...made.urls].sort(), ["http://a", "http://b"]);
  made.learn(undefined); // a service of before names none
  assert.equal(made.urls.length, 2);
});

test("a token does not leave TLS, and what is no address is passed over", () => {
  const safe = connector("https://a");
  safe.learn(["http://b", "ws://c", "https://d", "d", 5, null]);
  assert.deepEqual(safe.urls, ["https://a", "https://d"]);
  const plain = connector("http://a");
  plain.learn(["http://b", "https://c"]);
  assert.equal(plain.urls.length, 3);
});

test("polling is tried after each address failed by websocket, and a success begins anew", async (t) => {
  const asked = [];
  const answers = [new NotConnected("no"), {}, new NotConnected("no"), new NotConnected("no"), new Refused({ code: "x" }), {}];
  t.mock.method(Socket, "connect", async (_url, _onEvent, _token, transports) => {
    asked.push(transports[0]);
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  });
  const made = new Connector(["http://a", "http://b"], { transports: ["websocket", "polling"] });
  for (let attempt = 0; attempt < 6; attempt += 1) {
    await made.connect(() => {}).catch(() => undefined);
    made.next();
  }
  assert.deepEqual(asked, ["websocket", "websocket", "websocket", "websocket", "polling", "polling"]);
});

test("a delay of a month is one, and may be ended", async (t) => {
  const time = fakeTime(t);
  const done = [];
  const seconds = 31 * 86_400;
  assert.ok(seconds * 1000 > LONGEST_MS);
  new Timer(seconds, () => done.push("month"));
  new Timer(5, () => done.push("ended")).stop();
  await time.pass(LONGEST_MS / 1000);
  assert.deepEqual(done, []);
  await time.pass(seconds - LONGEST_MS / 1000 - 1);
  assert.deepEqual(done, []);
  await time.pass(2);
  assert.deepEqual(done, ["month"]);
});

test("who sleeps can be woken, and sleeps again", async (t) => {
  const time = fakeTime(t);
  const sleeper = new Sleeper();
  let nights = 0;
  const sleep = () => void sleeper.sleep(100).then(() => (nights += 1));
  sleep();
  sleeper.wake();
  await time.settle();
  assert.equal(nights, 1);
  sleep();
  await time.pass(99);
  assert.equal(nights, 1);
  await time.pass(2);
  assert.equal(nights, 2);
});

test("delays grow up to their bound, are random over their whole length, and begin anew", () => {
  let part = 1;
  const backoff = new Backoff(1, 5, () => part);
  assert.deepEqual([1, 2, 3, 4].map(() => backoff.nextS()), [1, 2, 4, 5]);
  part = 0;
  assert.equal(backoff.nextS(), 0);
  part = 0.5;
  backoff.succeeded();
  assert.equal(backoff.nextS(), 0.5);
});

test("the end of a token is read whatever it is made of", () => {
  const token = (claims) => `h.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`;
  const strange = token({ name: "???>>>~~~ü", exp: 1100 });
  assert.match(strange, /[-_]/);
  assert.equal(tokenLeftS(strange, 1000), 100);
  for (const none of [undefined, "", "a.b.c", token({}), token({ exp: "1100" }), token(null)]) {
    assert.equal(tokenLeftS(none, 1000), undefined);
  }
});
