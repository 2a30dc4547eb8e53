/**
 * The local API as functions: one method per route, streams as async iterables (routes.ts has the
 * other side).
 *
 * Loads nothing but `node:http` and small files of ours: a command is only as quick as what it
 * loads.
 */

import { once } from "node:events"
import { Agent, request as httpRequest, type IncomingMessage } from "node:http"
import { TarbartaError } from "../../protocol/errors.ts"
import {
  API_ANSWER_BYTES_MAX,
  API_ANSWER_TIMEOUT_MS,
  API_BODY_BYTES_MAX,
  API_CLIENT_REQUESTS_MAX,
  API_LINE_BYTES_MAX,
} from "../../protocol/limits.ts"
import { NodeError } from "../errors.ts"
import type {
  Acknowledgement,
  ApiFailure,
  Cable,
  CableDraft,
  CableQueued,
  CableStatus,
  CableSummary,
  EvidenceInfo,
  GovernanceFinal,
  LedgerStatus,
  MissionInfo,
  NodeEvent,
  NodeStatus,
  Signal,
  SignalDraft,
  VerifyReport,
} from "./shapes.ts"
import { API_HOST, JSON_TYPE, socketPathOf } from "./socket.ts"

/** What the node answered instead of a result; codes are those of docs/PROTOCOL.md. */
export class RefusedByNode extends TarbartaError {}

export interface Progress {
  readonly done: number
  readonly total: number
}

interface CallOptions {
  readonly method?: "GET" | "POST"
  readonly body?: unknown
  readonly signal?: AbortSignal | undefined
  /** A stream has a connection of its own and no time limit once it has begun. */
  readonly isStream?: boolean
}

/**
 * Talks to the node of one home. Holds no connection between calls.
 *
 * Every method rejects with {@link NodeError} `NODE_UNREACHABLE` when no node answers there, and
 * with {@link RefusedByNode} when it answers with a failure. Ids may be abbreviated.
 */
export class NodeClient {
  readonly #home: string
  readonly #socketPath: string
  readonly #agent = new Agent({ keepAlive: false, maxSockets: API_CLIENT_REQUESTS_MAX })

  constructor(home: string) {
    this.#home = home
    this.#socketPath = socketPathOf(home)
  }

  async status(): Promise<NodeStatus> {
    return this.#json("/node")
  }

  /** Returns when the node has said that it will stop. */
  async stop(): Promise<void> {
    await this.#json("/node/stop", { method: "POST", body: {} })
  }

  async sendCable(draft: CableDraft): Promise<CableQueued> {
    return this.#json("/cables", { method: "POST", body: draft })
  }

  async cables(query: {
    readonly box?: "inbox" | "sent"
    readonly unread?: boolean
    readonly limit?: number
  }): Promise<readonly CableSummary[]> {
    const search = searchOf({
      box: query.box,
      unread: query.unread === true ? "1" : undefined,
      limit: query.limit?.toString(),
    })
    return (await this.#json<{ cables: readonly CableSummary[] }>(`/cables${search}`)).cables
  }

  async cable(id: string, options: { readonly mark: boolean }): Promise<Cable> {
    return this.#json(`/cables/${segment(id)}${options.mark ? "?mark=1" : ""}`)
  }

  async cableStatus(id: string): Promise<CableStatus> {
    return this.#json(`/cables/${segment(id)}/status`)
  }

  async acknowledgeCable(id: string, body: Acknowledgement): Promise<{ readonly id: string }> {
    return this.#json(`/cables/${segment(id)}/acknowledge`, { method: "POST", body })
  }

  async cableEnvelope(id: string): Promise<Uint8Array> {
    return readAll(await this.#call(`/cables/${segment(id)}/envelope`, {}))
  }

  async raiseSignal(draft: SignalDraft): Promise<Signal> {
    return this.#json("/signals", { method: "POST", body: draft })
  }

  async signals(query: {
    readonly open?: boolean
    readonly limit?: number
  }): Promise<readonly Signal[]> {
    const search = searchOf({
      open: query.open === true ? "1" : undefined,
      limit: query.limit?.toString(),
    })
    return (await this.#json<{ signals: readonly Signal[] }>(`/signals${search}`)).signals
  }

  async signal(id: string): Promise<Signal> {
    return this.#json(`/signals/${segment(id)}`)
  }

  async markDisplayed(id: string, seat: string): Promise<Signal> {
    return this.#json(`/signals/${segment(id)}/displayed`, { method: "POST", body: { seat } })
  }

  async acknowledgeSignal(id: string, officer: string): Promise<Signal> {
    const body = { officer }
    return this.#json(`/signals/${segment(id)}/acknowledge`, { method: "POST", body })
  }

  async missions(): Promise<readonly MissionInfo[]> {
    return (await this.#json<{ missions: readonly MissionInfo[] }>("/missions")).missions
  }

  /** Returns when all entries are final, which may take as long as the validators need. */
  async submitGovernance(payloads: readonly Uint8Array[]): Promise<GovernanceFinal> {
    const entries = payloads.map((payload) => Buffer.from(payload).toString("base64"))
    return this.#json("/governance", { method: "POST", body: { entries } })
  }

  async ledgerStatus(): Promise<LedgerStatus> {
    return this.#json("/ledger")
  }

  async ledgerEvidence(): Promise<readonly EvidenceInfo[]> {
    const { evidence } = await this.#json<{ evidence: readonly EvidenceInfo[] }>("/ledger/evidence")
    return evidence
  }

  async verifyLedger(
    onProgress: (progress: Progress) => void,
    { isQuick = false, signal }: { isQuick?: boolean; signal?: AbortSignal } = {},
  ): Promise<VerifyReport> {
    const body = isQuick ? { quick: true } : {}
    const options = { method: "POST", body, signal, isStream: true } as const
    const response = await this.#call("/ledger/verify", options)
    for await (const line of readLines<VerifyReport | Progress>(response)) {
      if ("ok" in line) return line
      onProgress(line)
    }
    throw this.#lost()
  }

  /** The bytes of a ledger copy file. */
  async ledgerCopy(signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    return whole(await this.#call("/ledger/copy", { signal, isStream: true }), () => this.#lost())
  }

  /** The stream of a publication; `have` says what was published before. */
  async publication(have?: {
    readonly size: number
    readonly root: string
    readonly bundles: number
  }): Promise<AsyncIterable<Uint8Array>> {
    const search = searchOf({
      size: have?.size.toString(),
      root: have?.root,
      bundles: have?.bundles.toString(),
    })
    const path = `/ledger/publication${search}`
    return whole(await this.#call(path, { isStream: true }), () => this.#lost())
  }

  /** The bytes of a proof file. */
  async proof(id: string): Promise<Uint8Array> {
    return readAll(await this.#call(`/ledger/proofs/${segment(id)}`, {}))
  }

  /**
   * Resolves when the node is listening: nothing that happens afterwards is missed. The iterable
   * ends when the node stops; it rejects when the signal aborts.
   */
  async events(options: {
    readonly after?: number | undefined
    readonly signal?: AbortSignal
  }): Promise<AsyncIterable<NodeEvent>> {
    const search = searchOf({ after: options.after?.toString() })
    const response = await this.#call(`/events${search}`, {
      signal: options.signal,
      isStream: true,
    })
    return readLines<NodeEvent>(response, options.signal)
  }

  async #json<T>(path: string, options: CallOptions = {}): Promise<T> {
    const response = await this.#call(path, options)
    return JSON.parse(new TextDecoder().decode(await readAll(response))) as T
  }

  /** Sends one request; resolves with an answer that is a success. */
  async #call(path: string, options: CallOptions): Promise<IncomingMessage> {
    const body = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body))
    if (body !== undefined && body.length > API_BODY_BYTES_MAX) {
      throw new NodeError(
        "API_BODY_SIZE",
        `request: expected at most ${API_BODY_BYTES_MAX} bytes, got ${body.length}`,
      )
    }
    const request = httpRequest({
      socketPath: this.#socketPath,
      path,
      method: options.method ?? "GET",
      agent: options.isStream === true ? false : this.#agent,
      setHost: false,
      headers: {
        host: API_HOST,
        ...(body === undefined ? {} : { "content-type": JSON_TYPE, "content-length": body.length }),
      },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    })
    request.setTimeout(API_ANSWER_TIMEOUT_MS, () => request.destroy(this.#silent()))
    request.end(body)
    let response: IncomingMessage
    try {
      ;[response] = (await once(request, "response")) as [IncomingMessage]
    } catch (error) {
      throw this.#unreachable(error)
    }
    if (options.isStream === true) request.setTimeout(0)
    if ((response.statusCode ?? 500) < 300) return response
    throw await failureOf(response)
  }

  #unreachable(error: unknown): unknown {
    if (error instanceof TarbartaError) return error
    switch ((error as NodeJS.ErrnoException).code) {
      case "ENOENT":
      case "ECONNREFUSED":
      case "ENOTSOCK":
      case "ENOTDIR":
        return new NodeError("NODE_UNREACHABLE", `no node is running in ${this.#home}`, {
          cause: error,
          hint: "start it with `tarbarta node start`, or name its home with --home DIR",
        })
      case "EACCES":
      case "EPERM":
        return new NodeError(
          "NODE_UNREACHABLE",
          `the node in ${this.#home} belongs to another user`,
          {
            cause: error,
            hint: "only the user who runs the node may command it",
          },
        )
      case "ECONNRESET":
      case "EPIPE":
      case "EAGAIN":
        return this.#lost(error)
      default:
        return error
    }
  }

  #lost(cause?: unknown): NodeError {
    return new NodeError("NODE_UNREACHABLE", "the node closed the connection before it answered", {
      cause,
      hint: "it may be busy or stopping; `tarbarta node status` tells",
    })
  }

  #silent(): NodeError {
    return new NodeError("NODE_UNREACHABLE", "the node did not answer in time", {
      hint: "it may be busy; `tarbarta node status` tells",
    })
  }
}

function segment(id: string): string {
  return encodeURIComponent(id)
}

function searchOf(fields: Readonly<Record<string, string | undefined>>): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) search.set(name, value)
  }
  return search.size === 0 ? "" : `?${search.toString()}`
}

async function failureOf(response: IncomingMessage): Promise<TarbartaError> {
  const text = new TextDecoder().decode(await readAll(response))
  return refusal(JSON.parse(text) as ApiFailure)
}

function refusal({ error }: ApiFailure): RefusedByNode {
  const options = error.hint === undefined ? {} : { hint: error.hint }
  return new RefusedByNode(error.code, error.message, options)
}

async function readAll(response: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let total = 0
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    total += chunk.length
    if (total > API_ANSWER_BYTES_MAX) {
      throw new NodeError("API_BODY_SIZE", `answer: expected at most ${API_ANSWER_BYTES_MAX} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** A file that ends early must not pass for a whole one. */
async function* whole(response: IncomingMessage, lost: () => NodeError): AsyncIterable<Uint8Array> {
  for await (const chunk of response as AsyncIterable<Uint8Array>) yield chunk
  if (!response.complete) throw lost()
}

/**
 * Lines of a stream; one that holds a failure is thrown. A node that ends in mid-line ends the
 * stream.
 */
async function* readLines<T extends object>(
  response: IncomingMessage,
  signal?: AbortSignal,
): AsyncIterable<T> {
  response.setEncoding("utf8")
  let rest = ""
  try {
    for await (const chunk of response as AsyncIterable<string>) {
      const lines = (rest + chunk).split("\n")
      rest = lines.pop() ?? ""
      if (rest.length > API_LINE_BYTES_MAX) {
        throw new NodeError("API_BODY_SIZE", `line: expected at most ${API_LINE_BYTES_MAX} bytes`)
      }
      for (const line of lines) {
        const value = JSON.parse(line) as T | ApiFailure
        if ("error" in value && !("ok" in value)) throw refusal(value)
        yield value as T
      }
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ECONNRESET") throw error
  }
  // Our own going away looks the same on the wire.
  signal?.throwIfAborted()
}
