import { describe, expect, it } from "vitest";
import { reaches, readClaims } from "@/client/claims";
import { tokenOf } from "../summaries";

describe("claims of a token", () => {
  it("are read, whatever letters they have", () => {
    const text = tokenOf({ sub: "Zoe", role: "viewer", projects: ["a"], exp: 5 });
    expect(readClaims(text)).toEqual({ sub: "Zoe", role: "viewer", projects: ["a"], endsAtS: 5 });
    const bytes = String.fromCharCode(...new TextEncoder().encode('{"sub":"Žoë"}'));
    expect(readClaims(`a.${btoa(bytes)}.c`)?.sub).toBe("Žoë");
  });

  it.each(["", "a", "a.b.c", `a.${btoa("5")}.c`, "a.b", "a..c"])("are none of %j", (text) => {
    expect(readClaims(text)).toBeUndefined();
  });

  it("of an unknown role reach nothing", () => {
    expect([reaches("device", "viewer"), reaches(undefined, "viewer"), reaches("chief", "viewer")]).toEqual([
      false, false, false,
    ]);
    expect([reaches("viewer", "operator"), reaches("admin", "operator")]).toEqual([false, true]);
  });
});
