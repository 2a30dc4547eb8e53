import { once } from "node:events"
import { chmod, lstat, mkdir, rename, writeFile } from "node:fs/promises"
import { request } from "node:http"
import { connect, createServer } from "node:net"
import { dirname, join } from "node:path"
import { describe, expect, it } from "vitest"
import { startServer } from "../../../node/api/server.ts"
import { systemClock } from "../../../node/clock.ts"
import { API_BODY_BYTES_MAX, API_CONNECTIONS_MAX } from "../../../protocol/limits.ts"
import { startApi } from "../../support/api.ts"
import { createVirtualClock } from "../../support/clock.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { ServiceInMemory } from "../../support/service.ts"

interface Raw {
  readonly method?: string
  readonly path?: string
  readonly headers?: Record<string, string>
  readonly body?: string | Uint8Array
}

/** A request as anybody could write it, past our own client. */
async function ask(socketPath: string, raw: Raw): Promise<{ status: number; code: string }> {
  const headers = { host: "localhost", "content-type": "application/json", ...raw.headers }
  const { method = "POST", path = "/cables" } = raw
  const outgoing = request({ socketPath, method, path, headers, setHost: false, agent: false })
  outgoing.end(raw.body)
  const [response] = await once(outgoing, "response")
  let text = ""
  for await (const chunk of response) text += String(chunk)
  const parsed = JSON.parse(text) as { error?: { code: string } }
  return { status: response.statusCode, code: parsed.error?.code ?? "" }
}

const DRAFT = JSON.stringify({ to: ["LON"], subject: "", text: "x" })

describe("the server refuses, with a code and staying alive,", () => {
  const cases: [string, Raw, number, string][] = [
    ["an unknown path", { path: "/nothing", body: "{}" }, 404, "API_NOT_FOUND"],
    ["an unknown method", { method: "PUT", body: "{}" }, 404, "API_NOT_FOUND"],
    ["a path of two slashes", { method: "GET", path: "//" }, 404, "API_NOT_FOUND"],
    ["a path that is none", { method: "GET", path: "http://:x/" }, 400, "API_REQUEST"],
    ["a web page", { headers: { origin: "http://localhost" }, body: DRAFT }, 400, "API_REQUEST"],
    ["a page without origin", { headers: { origin: "null" }, body: DRAFT }, 400, "API_REQUEST"],
    [
      "a browser's own request",
      { method: "GET", path: "/node", headers: { "sec-fetch-site": "none" } },
      400,
      "API_REQUEST",
    ],
    ["a path with an empty id", { method: "GET", path: "/cables//status" }, 404, "API_NOT_FOUND"],
    ["another host", { headers: { host: "evil.example" }, body: DRAFT }, 400, "API_REQUEST"],
    [
      "a plain text",
      { headers: { "content-type": "text/plain" }, body: DRAFT },
      400,
      "API_REQUEST",
    ],
    ["an unknown query", { method: "GET", path: "/cables?all=1" }, 400, "API_REQUEST"],
    ["a box that is none", { method: "GET", path: "/cables?box=x" }, 400, "API_REQUEST"],
    ["a limit of 0", { method: "GET", path: "/cables?limit=0" }, 400, "API_REQUEST"],
    [
      "a limit that is no number",
      { method: "GET", path: "/signals?limit=1e3" },
      400,
      "API_REQUEST",
    ],
    ["bad JSON", { body: "{" }, 400, "API_REQUEST"],
    ["an empty body", { body: "" }, 400, "API_REQUEST"],
    ["a body that is not UTF-8", { body: Uint8Array.of(0x22, 0xff, 0x22) }, 400, "API_REQUEST"],
    ["a list", { body: "[]" }, 400, "API_REQUEST"],
    ["a draft without text", { body: '{"to":["LON"]}' }, 400, "API_REQUEST"],
    ["an unknown field", { body: DRAFT.replace("{", '{"x":1,') }, 400, "API_REQUEST"],
    ["half a surrogate pair", { body: DRAFT.replace('"x"', '"\\ud800"') }, 400, "API_REQUEST"],
    ["a wrong precedence", { body: DRAFT.replace("{", '{"precedence":"x",') }, 400, "API_REQUEST"],
    [
      "82 addressees",
      { body: DRAFT.replace('"LON"', '"LON",'.repeat(81) + '"X"') },
      400,
      "API_REQUEST",
    ],
    [
      "entries that are not base64",
      { path: "/governance", body: '{"entries":["?"]}' },
      400,
      "API_REQUEST",
    ],
    ["no entries", { path: "/governance", body: '{"entries":[]}' }, 400, "API_REQUEST"],
    [
      "a GET with a body",
      { method: "GET", headers: { "content-length": "2" }, body: "{}" },
      400,
      "API_REQUEST",
    ],
  ]
  for (const [name, raw, status, code] of cases) {
    it(name, async () => {
      const { socketPath, client, bugs } = await startApi()
      expect(await ask(socketPath, raw)).toEqual({ status, code })
      expect(await client.status()).toMatchObject({ mission: "DAC" })
      expect(bugs).toEqual([])
    })
  }

  it("a body above the limit, without keeping it", async () => {
    const { socketPath, client } = await startApi()
    const body = new Uint8Array(API_BODY_BYTES_MAX + 1).fill(0x20)
    expect(await ask(socketPath, { body })).toEqual({ status: 413, code: "API_BODY_SIZE" })
    expect(await ask(socketPath, { body: DRAFT })).toEqual({ status: 201, code: "" })
    expect(await client.cables({ box: "sent" })).toHaveLength(1)
  })

  it("more connections than it has places for", async () => {
    const { socketPath, client } = await startApi()
    const streams = Array.from({ length: API_CONNECTIONS_MAX }, () => new AbortController())
    for (const stream of streams) await client.events({ signal: stream.signal })
    const refused = connect(socketPath)
    await once(refused, "close")
    for (const stream of streams) stream.abort()
    await expect
      .poll(() =>
        client.status().then(
          (status) => status.mission,
          () => "",
        ),
      )
      .toBe("DAC")
  })
})

describe("the socket", () => {
  it("is closed to others, and gone when the server has stopped", async () => {
    const { socketPath, stop } = await startApi()
    expect((await lstat(socketPath)).mode & 0o777).toBe(0o600)
    expect((await lstat(dirname(socketPath))).mode & 0o777).toBe(0o700)
    await stop()
    await expect(lstat(socketPath)).rejects.toMatchObject({ code: "ENOENT" })
  })

  const start = (socketPath: string) =>
    startServer({
      socketPath,
      service: new ServiceInMemory(createVirtualClock()),
      clock: systemClock,
      onBug: (error) => {
        throw error
      },
    })

  it("of a running node is not taken from it", async () => {
    const { socketPath, client } = await startApi()
    await expect(start(socketPath)).rejects.toMatchObject({ code: "NODE_RUNNING" })
    expect(await client.status()).toMatchObject({ mission: "DAC" })
  })

  it("of a process that was killed is replaced", async () => {
    const socketPath = join(await temporaryFolder(), "node.sock")
    await chmod(dirname(socketPath), 0o700)
    // A socket file that nobody listens on: bound, then left behind.
    const left = createServer().listen(`${socketPath}.old`)
    await once(left, "listening")
    await rename(`${socketPath}.old`, socketPath)
    left.close()
    await once(left, "close")
    const server = await start(socketPath)
    await server.stop()
  })

  it("that is a plain file is replaced too", async () => {
    const socketPath = join(await temporaryFolder(), "node.sock")
    await writeFile(socketPath, "")
    const server = await start(socketPath)
    await server.stop()
  })

  it("is not opened in a folder that others may enter", async () => {
    const folder = join(await temporaryFolder(), "run")
    await mkdir(folder)
    await chmod(folder, 0o755)
    await expect(start(join(folder, "node.sock"))).rejects.toMatchObject({
      code: "HOME_PERMISSIONS",
    })
  })
})

describe("stopping", () => {
  it("answers the one who asked, and ends the streams", async () => {
    const { client, service, stop } = await startApi()
    service.onStop = () => void stop()
    const events = await client.events({})
    await client.stop()
    const left: unknown[] = []
    for await (const event of events) left.push(event)
    expect(left).toEqual([])
    await expect(client.status()).rejects.toMatchObject({ code: "NODE_UNREACHABLE" })
  })
})
