import { mount, type VueWrapper } from "@vue/test-utils";
import { createPinia, setActivePinia } from "pinia";
import { beforeEach, expect, test, vi } from "vitest";
import { nextTick, ref, shallowRef, type Component } from "vue";
import { FileTooLarge } from "@/client/files";
import DeleteDialog from "@/pages/session/actions/DeleteDialog.vue";
import SessionActions from "@/pages/session/actions/SessionActions.vue";
import CommandEntry from "@/pages/session/commands/CommandEntry.vue";
import CommandForm from "@/pages/session/commands/CommandForm.vue";
import { sessionKey } from "@/pages/session/context";
import ExportPanel from "@/pages/session/export/ExportPanel.vue";
import ValueTable from "@/pages/session/values/ValueTable.vue";
import ValueText from "@/pages/session/values/ValueText.vue";
import { settled, testFeed } from "./support";

const file = vi.fn();
vi.mock("@/stores/client", () => ({ useClient: () => ({ file }) }));
beforeEach(() => setActivePinia(createPinia()));

function shown(part: Component, more: object = {}): VueWrapper {
  const session = shallowRef({ state: "inactive", session_id: "kiosk-7", open_commands: 0 });
  const context = {
    id: "kiosk-7",
    feed: testFeed(),
    details: { session, timeline: shallowRef([]), load: () => Promise.resolve() },
    latest: shallowRef(new Map()),
    maySteer: ref(true),
    isArchived: ref(false),
    ...more,
  };
  const global = { provide: { [sessionKey as symbol]: context } };
  return mount(part, { global, attachTo: document.body }) as VueWrapper;
}
const buttons = (part: VueWrapper): string[] => part.findAll("button").map((one) => one.text());

test("who may only look is offered nothing that changes a session", () => {
  expect(buttons(shown(SessionActions, { maySteer: ref(false) }))).toEqual([]);
  expect(buttons(shown(SessionActions))).toEqual(["Disconnect …", "Archive", "Delete …"]);
  expect(buttons(shown(SessionActions, { isArchived: ref(true) }))).toEqual(["Restore", "Delete …"]);
});

test("a session is deleted only by who typed its id", async () => {
  const remove = vi.fn(() => Promise.resolve(true));
  const dialog = mount(DeleteDialog, { props: { open: true, sessionId: "kiosk-7", remove }, attachTo: document.body });
  await nextTick();
  const field = document.querySelector<HTMLInputElement>("#delete-id");
  const form = document.querySelector<HTMLFormElement>("[role=dialog] form");
  const type = async (text: string): Promise<void> => {
    if (field === null) throw new Error("no field");
    field.value = text;
    field.dispatchEvent(new Event("input"));
    await nextTick();
    form?.dispatchEvent(new Event("submit"));
    await settled();
  };
  await type("kiosk-8");
  expect(remove).not.toHaveBeenCalled();
  await type("kiosk-7");
  expect(remove).toHaveBeenCalledOnce();
  dialog.unmount();
});

test("names and values of a device are text, whatever is in them", () => {
  const hostile = "<img src=x onerror=alert(1)>";
  const latest = shallowRef(
    new Map([
      [hostile, { value: `${hostile}\u202e`, ts: 1 }],
      ["constructor", { value: {}, ts: undefined }],
    ]),
  );
  const table = shown(ValueTable, { latest });
  expect(table.find("img").exists()).toBe(false);
  expect(table.text()).toContain(`${hostile}\\u202e`);
  const text = mount(ValueText, { props: { value: { [hostile]: "a\u0000" }, label: "Value" } });
  expect(text.find("img").exists()).toBe(false);
  expect(text.find("pre").text()).toContain(`"${hostile}": "a\\\\u0000"`.replace("\\\\", "\\"));
});

test("a long value is shown as a whole on demand", async () => {
  const text = mount(ValueText, { props: { value: "x".repeat(60_000), label: "Value" } });
  expect(text.find("pre").text().length).toBe(4000);
  await text.find("button").trigger("click");
  expect(text.find("pre").text().length).toBe(60_000);
});

test("a file that is too large for a page is a line for a shell, without the token", async () => {
  file.mockRejectedValueOnce(new FileTooLarge(`curl -H "Authorization: Bearer $MUSTER_TOKEN" 'http://x'`));
  const panel = shown(ExportPanel);
  await panel.find("button").trigger("click");
  await settled();
  expect(file.mock.calls[0]?.[0]).toBe("/sessions/kiosk-7/data");
  expect(panel.find("[role=alert] pre").text()).toContain("$MUSTER_TOKEN");
});

test("a command says when it was sent and how long it took, in one sentence", () => {
  const now = Date.now();
  const entry = {
    id: "c", command: "reboot", params: null, hasParams: true, status: "succeeded" as const, attempt: 2,
    createdAt: now, updatedAt: now + 1500, endsAt: now + 9000, result: "done", error: undefined, steps: [],
  };
  const item = mount(CommandEntry, { props: { entry } });
  expect(item.get(".muted").text()).toBe("now, ended after 1.5 s, attempt 2");
  expect(item.text()).toContain("Result · text · 4 characters");
});

test("parameters that are no JSON are not sent, and the place is named", async () => {
  const form = mount(CommandForm, {
    props: { given: { command: "", params: "", ttlS: undefined }, names: ["reboot"], isOnline: true },
  });
  await form.find("button").trigger("click"); // a name used before
  await form.find("textarea").setValue('{"a":}');
  await form.find("form").trigger("submit");
  expect([form.emitted("send"), form.find("#command-fault").text()]).toEqual([
    undefined,
    'Line 1, column 6: a value is missing; "}" is none.',
  ]);
  await form.find("textarea").setValue('{"n":9007199254740993}');
  await form.find("form").trigger("submit");
  expect(form.emitted("send")).toEqual([[{ command: "reboot", params: '{"n":9007199254740993}', ttlS: undefined }]]);
});
