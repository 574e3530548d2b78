import { createPinia, setActivePinia } from "pinia";
import { beforeEach, describe, expect, it } from "vitest";
import { useAuth } from "@/stores/auth";
import { tokenOf } from "../summaries";

const viewer = tokenOf({ role: "viewer", projects: ["berlin"] });

beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
  setActivePinia(createPinia());
});

describe("login", () => {
  it("is not needed where the service asks for none: then everything is offered", () => {
    const auth = useAuth();
    expect(auth.may("admin", "all")).toBe(true);
  });

  it("keeps the token for this tab alone, unless it is asked to", () => {
    useAuth().signIn(viewer, false);
    expect(Object.values(localStorage)).toEqual([]);
    setActivePinia(createPinia());
    expect(useAuth().token).toBe(viewer);
    sessionStorage.clear();
    setActivePinia(createPinia());
    expect(useAuth().token).toBeUndefined();
  });

  it("keeps it in the browser on wish, and nowhere after a sign-out", () => {
    useAuth().signIn(viewer, true);
    setActivePinia(createPinia());
    expect([useAuth().token, useAuth().isKept]).toEqual([viewer, true]);
    useAuth().signOut("over");
    expect([localStorage.length, sessionStorage.length]).toEqual([0, 0]);
    expect(useAuth().refusal).toBe("over");
  });

  it("offers a project's viewer neither commands nor the whole service", () => {
    const auth = useAuth();
    auth.signIn(viewer, false);
    expect([auth.may("viewer"), auth.may("operator"), auth.may("viewer", "all")]).toEqual([true, false, false]);
  });

  it("offers a device nothing", () => {
    const auth = useAuth();
    auth.signIn(tokenOf({ role: "device" }), false);
    expect(auth.may("viewer")).toBe(false);
  });
});
