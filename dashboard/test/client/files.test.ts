import { afterEach, describe, expect, it, vi } from "vitest";
import { NotConnected, Refused } from "muster-client";
import { curlLine, fetchFile, FileTooLarge } from "@/client/files";

const url = "http://n/api/v1/sessions/it's/data";

function answering(response: Response | Error): ReturnType<typeof vi.fn> {
  const fetching = vi.fn(() => (response instanceof Error ? Promise.reject(response) : Promise.resolve(response)));
  vi.stubGlobal("fetch", fetching);
  return fetching;
}
afterEach(() => vi.unstubAllGlobals());

describe("files", () => {
  it("are fetched with the token in a header", async () => {
    const fetching = answering(new Response("a,b", { headers: { "Content-Type": "text/csv" } }));
    const blob = await fetchFile({ url, token: "secret", accept: "text/csv" });
    expect(await blob.text()).toBe("a,b");
    const [address, options] = fetching.mock.calls[0] as [string, { headers: Headers }];
    expect(address).not.toContain("secret");
    expect(options.headers.get("Authorization")).toBe("Bearer secret");
  });

  it("that are too large are left to curl, said or not", async () => {
    answering(new Response("123456"));
    await expect(fetchFile({ url, token: undefined, largest: 5 })).rejects.toBeInstanceOf(FileTooLarge);
    answering(new Response("1", { headers: { "Content-Length": "6" } }));
    await expect(fetchFile({ url, token: undefined, largest: 5 })).rejects.toThrow("command line");
  });

  it("fail with the service's error, or with none", async () => {
    answering(Response.json({ code: "session_not_found", message: "no" }, { status: 404 }));
    await expect(fetchFile({ url, token: undefined })).rejects.toMatchObject({ code: "session_not_found" });
    answering(new Response("<html>", { status: 502 }));
    await expect(fetchFile({ url, token: undefined })).rejects.toBeInstanceOf(Refused);
    answering(new TypeError("network"));
    await expect(fetchFile({ url, token: undefined })).rejects.toBeInstanceOf(NotConnected);
  });

  it("have a line for curl that a shell takes as it is, and that has no token", () => {
    expect(curlLine(url, "text/csv")).toContain("'http://n/api/v1/sessions/it'\\''s/data'");
    expect(curlLine(url, "text/csv")).toContain("$MUSTER_TOKEN");
  });
});
