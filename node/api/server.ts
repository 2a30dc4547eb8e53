/**
 * The local door of a node: HTTP and JSON over a Unix socket that only its owner can open
 * (THREAT-MODEL, "Local API"; routes.ts says what can be asked for).
 *
 * Who may connect is decided by the file system: the socket is 0600 in a folder that is 0700 and
 * ours. Everything that comes in is bounded before it is kept: connections, headers, bodies, time.
 */

import { once } from "node:events"
import { chmod, lstat, mkdir, rename, unlink } from "node:fs/promises"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { connect } from "node:net"
import { dirname, join } from "node:path"
import { TarbartaError } from "../../protocol/errors.ts"
import {
  API_BODIES_BYTES_MAX,
  API_BODY_BYTES_MAX,
  API_CONNECTIONS_MAX,
  API_HEADERS_TIMEOUT_MS,
  API_REQUEST_TIMEOUT_MS,
  API_REQUESTS_PER_CONNECTION_MAX,
  API_STALL_MS,
  API_STOP_GRACE_MS,
  API_TIMEOUT_CHECK_MS,
} from "../../protocol/limits.ts"
import type { Clock } from "../clock.ts"
import { NodeError } from "../errors.ts"
import { findRoute, type ApiAnswer, type NodeService, type Route } from "./routes.ts"
import type { ApiFailure } from "./shapes.ts"
import { API_HOST, BYTES_TYPE, JSON_TYPE, LINES_TYPE } from "./socket.ts"

export interface ServerOptions {
  /** From {@link socketPathOf}. Its folder is made when it is missing. */
  readonly socketPath: string
  readonly service: NodeService
  readonly clock: Clock
  /** Called with every error that has no code: a bug, after which the node should not go on. */
  readonly onBug: (error: unknown) => void
}

export interface ApiServer {
  /** Takes no more requests, lets answers under way finish for a moment, removes the socket. */
  stop(): Promise<void>
}

/**
 * Opens the door.
 *
 * @throws {@link NodeError} `NODE_RUNNING` when a living process answers on this socket,
 * `HOME_PERMISSIONS` when others may enter its folder.
 */
export async function startServer(options: ServerOptions): Promise<ApiServer> {
  const folder = dirname(options.socketPath)
  await prepareFolder(folder)
  await removeStaleSocket(options.socketPath)

  const door = new Door(options)
  const server = createServer(
    {
      headersTimeout: API_HEADERS_TIMEOUT_MS,
      requestTimeout: API_REQUEST_TIMEOUT_MS,
      // Both limits are only as sharp as this; left alone it is half a minute.
      connectionsCheckingInterval: API_TIMEOUT_CHECK_MS,
    },
    (request, response) => void door.answer(request, response),
  )
  server.maxConnections = API_CONNECTIONS_MAX
  server.maxRequestsPerSocket = API_REQUESTS_PER_CONNECTION_MAX

  // The name appears when the socket is ready and closed to others, never before.
  const unnamed = join(folder, ".new.sock")
  await unlinkIfThere(unnamed)
  const umask = process.umask(0o177)
  try {
    server.listen(unnamed)
  } finally {
    process.umask(umask)
  }
  await once(server, "listening")
  await chmod(unnamed, 0o600)
  await rename(unnamed, options.socketPath)
  const { ino } = await lstat(options.socketPath)
  return { stop: () => stopServer(server, door, options, ino) }
}

async function prepareFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const stat = await lstat(folder)
  const isOurs = process.getuid === undefined || stat.uid === process.getuid()
  if (!stat.isDirectory() || !isOurs || (stat.mode & 0o077) !== 0) {
    throw new NodeError(
      "HOME_PERMISSIONS",
      `${folder}: expected a folder of this user, mode 0700`,
      {
        hint: `chmod 700 ${folder}`,
      },
    )
  }
}

/** A socket file outlives a killed process; only a connection tells whether somebody is there. */
async function removeStaleSocket(path: string): Promise<void> {
  const socket = connect(path)
  try {
    await once(socket, "connect")
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === "ENOENT") return
    if (code !== "ECONNREFUSED" && code !== "ENOTSOCK") throw error
    await unlinkIfThere(path)
    return
  } finally {
    socket.destroy()
  }
  throw new NodeError("NODE_RUNNING", "a node is running in this home", {
    hint: "`tarbarta node status` shows it, `tarbarta node stop` ends it",
  })
}

async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
  }
}

async function stopServer(
  server: Server,
  door: Door,
  { socketPath, clock }: ServerOptions,
  ino: number,
): Promise<void> {
  // Another node may have taken the name after ours was removed by hand.
  const stat = await lstat(socketPath).catch(() => undefined)
  if (stat?.ino === ino) await unlinkIfThere(socketPath)
  const closed = once(server, "close")
  server.close()
  door.close()
  const timer = clock.after(API_STOP_GRACE_MS, () => server.closeAllConnections())
  server.closeIdleConnections()
  await closed
  timer.cancel()
}

/** What a browser says of the page that asks: some tool has carried its request to the socket. */
const BROWSER_HEADERS = ["origin", "sec-fetch-site"] as const

/** Answers requests, and holds what all of them share. */
class Door {
  readonly #options: ServerOptions
  readonly #closing = new AbortController()
  #bodyBytes = 0

  constructor(options: ServerOptions) {
    this.#options = options
  }

  close(): void {
    this.#closing.abort()
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController()
    response.on("close", () => gone.abort())
    // Its reader went away: "close" follows and ends the work.
    response.on("error", () => gone.abort())
    const signal = AbortSignal.any([gone.signal, this.#closing.signal])
    try {
      const answer = await this.#handle(request, signal)
      await this.#send(response, answer, signal)
    } catch (error) {
      if (!signal.aborted || error instanceof TarbartaError) this.#fail(response, error)
      else response.destroy()
    }
  }

  async #handle(request: IncomingMessage, signal: AbortSignal): Promise<ApiAnswer> {
    // The body is taken in any case: an answer before its end would be lost on the way.
    const body = await this.#readBody(request)
    if (request.headers.host !== API_HOST) {
      throw new NodeError("API_REQUEST", `host: expected ${API_HOST}`)
    }
    for (const name of BROWSER_HEADERS) {
      if (request.headers[name] === undefined) continue
      throw new NodeError("API_REQUEST", `${name}: expected none, a browser has no way here`)
    }
    const url = urlOf(request.url ?? "")
    const { route, path } = findRoute(request.method ?? "", url.pathname)
    checkQuery(route, url.searchParams)
    const parsed = route.method === "POST" ? parseBody(request, body) : undefined
    if (route.method === "GET" && body.length > 0) {
      throw new NodeError("API_REQUEST", "body: expected none with GET")
    }
    return route.handle(this.#options.service, {
      path,
      query: url.searchParams,
      body: parsed,
      signal,
    })
  }

  /** Whole body; what is above the limits is counted and thrown away as it comes. */
  async #readBody(request: IncomingMessage): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    let total = 0
    let held = 0
    let isBusy = false
    try {
      for await (const chunk of request as AsyncIterable<Uint8Array>) {
        total += chunk.length
        isBusy ||= this.#bodyBytes + chunk.length > API_BODIES_BYTES_MAX
        if (isBusy || total > API_BODY_BYTES_MAX) continue
        chunks.push(chunk)
        held += chunk.length
        this.#bodyBytes += chunk.length
      }
    } finally {
      this.#bodyBytes -= held
    }
    if (total > API_BODY_BYTES_MAX) {
      throw new NodeError(
        "API_BODY_SIZE",
        `body: expected at most ${API_BODY_BYTES_MAX} bytes, got ${total}`,
      )
    }
    if (isBusy) throw new NodeError("NODE_BUSY", "too many large requests at one time")
    return Buffer.concat(chunks)
  }

  async #send(response: ServerResponse, answer: ApiAnswer, signal: AbortSignal): Promise<void> {
    switch (answer.type) {
      case "json":
        if (answer.after !== undefined) response.on("close", answer.after)
        sendJson(response, answer.status, answer.body)
        return
      case "bytes":
        response.writeHead(200, head(BYTES_TYPE, answer.bytes.length))
        response.end(answer.bytes)
        return
      case "chunks":
        await this.#stream(response, answer.chunks, BYTES_TYPE, signal)
        return
      case "lines":
        await this.#stream(response, asLines(answer.lines), LINES_TYPE, signal)
    }
  }

  /** One piece at a time, each when the reader has taken the one before. */
  async #stream(
    response: ServerResponse,
    pieces: AsyncIterable<Uint8Array | string>,
    type: string,
    signal: AbortSignal,
  ): Promise<void> {
    // A reader of lines learns at once that it is listening; why a file cannot be had is said
    // before its first byte.
    if (type === LINES_TYPE) begin(response, type)
    for await (const piece of pieces) {
      if (!response.headersSent) begin(response, type)
      if (!response.write(piece)) await this.#drained(response, signal)
      if (signal.aborted) break
    }
    response.end()
  }

  async #drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
    const timer = this.#options.clock.after(API_STALL_MS, () => response.destroy())
    try {
      await once(response, "drain", { signal })
    } finally {
      timer.cancel()
    }
  }

  #fail(response: ServerResponse, error: unknown): void {
    const failure = failureOf(error)
    if (!response.headersSent) sendJson(response, statusOf(error), failure)
    else if (response.getHeader("content-type") === LINES_TYPE) {
      response.end(`${JSON.stringify(failure)}\n`)
    } else response.destroy()
    if (!(error instanceof TarbartaError)) this.#options.onBug(error)
  }
}

/** Only a path with its query: anything may stand there, and none of it is a mistake of ours. */
function urlOf(target: string): URL {
  if (!target.startsWith("/")) throw new NodeError("API_REQUEST", "path: expected one from /")
  return new URL(`http://${API_HOST}${target}`)
}

function checkQuery(route: Route, query: URLSearchParams): void {
  for (const name of query.keys()) {
    if (!route.query.includes(name)) throw new NodeError("API_REQUEST", "unknown query parameter")
  }
}

/** JSON, said to be JSON: a form or a plain text, which a web page can send, is refused. */
function parseBody(request: IncomingMessage, body: Uint8Array): unknown {
  const [type = ""] = (request.headers["content-type"] ?? "").split(";")
  if (type.trim().toLowerCase() !== JSON_TYPE) {
    throw new NodeError("API_REQUEST", `content-type: expected ${JSON_TYPE}`)
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body))
  } catch (cause) {
    throw new NodeError("API_REQUEST", "body: expected JSON in UTF-8", { cause })
  }
}

function head(type: string, length?: number): Record<string, string | number> {
  return {
    "content-type": type,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...(length === undefined ? {} : { "content-length": length }),
  }
}

function begin(response: ServerResponse, type: string): void {
  response.writeHead(200, head(type))
  response.flushHeaders()
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = Buffer.from(JSON.stringify(body))
  response.writeHead(status, head(JSON_TYPE, text.length))
  response.end(text)
}

async function* asLines(values: AsyncIterable<unknown>): AsyncIterable<string> {
  for await (const value of values) yield `${JSON.stringify(value)}\n`
}

function failureOf(error: unknown): ApiFailure {
  if (!(error instanceof TarbartaError)) {
    return { error: { code: "UNEXPECTED", message: "the node met an error of its own" } }
  }
  const { code, message, hint } = error
  return { error: { code, message, ...(hint === undefined ? {} : { hint }) } }
}

/** Statuses are for tools that know HTTP; our own client goes by the code. */
function statusOf(error: unknown): number {
  if (!(error instanceof TarbartaError)) return 500
  switch (error.code) {
    case "API_REQUEST":
      return 400
    case "API_NOT_FOUND":
    case "CABLE_UNKNOWN":
    case "SIGNAL_UNKNOWN":
    case "MISSION_UNKNOWN":
      return 404
    case "API_BODY_SIZE":
      return 413
    case "NODE_BUSY":
    case "OUTBOX_FULL":
      return 503
    case "STORE_FULL":
      return 507
    case "STORE_FAILED":
      return 500
    default:
      return 422
  }
}
