import { NotConnected, Refused } from "muster-client";
import { describe, expect, it } from "vitest";
import { explain } from "@/client/errors";

const OLDER = "This node may be of an earlier version than the page: if an upgrade is under way, try again after it.";

describe("an error in words", () => {
  it.each([
    [{ code: "overloaded", message: "No capacity now." }, "No capacity now."],
    [{ code: "rate_limited", message: "Slow down.", retry_after_s: 2.1 }, "Slow down. Try again in 3 s."],
    [{ code: "internal", message: "Wrong.", log_id: "4f" }, "Wrong. Its log says what: look for 4f."],
    [{ code: "not_allowed", message: "Not this role." }, "Not this role. Another token may."],
    [{ code: "archive_corrupt", message: "Torn." }, "Torn. The page Archive shows the file under Quarantine."],
    [{ code: "conflict", message: "x\u202ey" }, "x\\u202ey"],
  ])("says what the service says of %j, and what to do", (body, words) => {
    expect(explain(new Refused(body))).toBe(words);
  });

  it.each([
    [413, "limit"], [429, "Try again in a minute"], [502, "Try again in a moment"], [418, "whoever runs the service"],
  ])("says of status %i, which is not of the service, what to do", (status, words) => {
    const told = explain(new Refused({ message: `status ${status}`, retryable: false }));
    expect(told).toContain(`status ${status}: `);
    expect(told).toContain(words);
  });

  it("tells who wanted something done that it may have been", () => {
    expect(explain(new NotConnected("cut"), "act")).toContain("it may have done this, or not");
    expect(explain(new NotConnected("cut"), "read")).not.toContain("done");
  });

  it.each([
    { message: "unknown query parameter 'step'" },
    { message: "scope: unknown field 'values'; did you mean 'sessions'?" },
    { message: "There is no such event." },
    { message: "The requested URL was not found on the server.", status: 404 },
    { message: "The method is not allowed for the requested URL.", status: 405 },
  ])("says that a node may be older where it does not know what this page asked for: %j", (body) => {
    const told = new Refused({ code: "invalid_request", ...body });
    expect(explain(told, "read")).toBe(`${body.message} ${OLDER}`);
    expect(explain(told, "act")).toBe(body.message);
  });

  it.each([
    "q: should be a string", "state: active, inactive or archived", "since: seconds since 1970, or ISO 8601",
    "cursor: not one that this service gave out", "`project_id`: given more than once",
  ])("does not where what somebody typed was wrong: %s", (message) => {
    expect(explain(new Refused({ code: "invalid_request", message, status: 400 }), "read")).toBe(message);
  });
});
