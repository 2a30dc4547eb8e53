/**
 * The table of the local API: method, path, checked arguments, handler (OPERATIONS, "Local API").
 *
 * {@link NodeService} is all that the API wants of a node. Handlers translate; they decide nothing.
 */

import { NodeError } from "../errors.ts"
import { API_LIST_LIMIT, API_LIST_LIMIT_MAX, ID_PREFIX_DIGITS_MIN } from "../../protocol/limits.ts"
import {
  readAcknowledgement,
  readCableDraft,
  readDisplayed,
  readEmpty,
  readQuick,
  readGovernance,
  readSignalDraft,
  readSignalAcknowledgement,
} from "./bodies.ts"
import type {
  Acknowledgement,
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

/** Which cables a list holds. Newest first. */
export interface CablesQuery {
  readonly box: "inbox" | "sent"
  /** Only those that nobody has read here. */
  readonly unread: boolean
  readonly limit: number
}

/** Which signals a list holds. Newest first, both directions. */
export interface SignalsQuery {
  /** Only those that nobody has acknowledged and that have not expired. */
  readonly open: boolean
  readonly limit: number
}

/** What was published before: a checkpoint, and full bundles below it that need not come again. */
export interface PublishedHere {
  readonly size: number
  /** Hex. */
  readonly root: string
  readonly bundles: number
}

/** Where the stream of events comes from; events.ts has the implementation. */
export interface EventSource {
  /**
   * Events after the one with this serial, then every new one until the signal aborts; new ones
   * only when `after` is undefined. A `resync` stands where events were lost.
   */
  read(after: number | undefined, signal: AbortSignal): AsyncIterable<NodeEvent>
}

/**
 * A running node, as seen from its own machine.
 *
 * Ids that reach it are whole ones (64 lower-case hex digits). Every refusal is a `TarbartaError`.
 * Anything else that is thrown is a bug, and the server reports it as one.
 */
export interface NodeService {
  readonly events: EventSource

  status(): Promise<NodeStatus>
  /** Begins to stop; returns at once. The API server is among the parts that stop. */
  stop(): void

  /** Whole ids that begin with these hex digits; two are enough to know that there are several. */
  findIds(of: "cable" | "signal", prefix: string): Promise<readonly string[]>

  /** Returns when the cable is on disk. `MISSION_UNKNOWN`, `CABLE_TOO_LARGE`, `OUTBOX_FULL` … */
  sendCable(draft: CableDraft): Promise<CableQueued>
  cables(query: CablesQuery): Promise<readonly CableSummary[]>
  /** With `mark`, it counts as read from now on. */
  cable(id: string, options: { readonly mark: boolean }): Promise<Cable>
  cableStatus(id: string): Promise<CableStatus>
  /** Returns when the receipt is on disk. Repeating it changes nothing. */
  acknowledgeCable(id: string, acknowledgement: Acknowledgement): Promise<void>
  /** The copy as it was received (`EnvelopeCopy`), for an audit. */
  cableEnvelope(id: string): Promise<Uint8Array>

  /** Returns when the signal is on disk and on its way. */
  raiseSignal(draft: SignalDraft): Promise<Signal>
  signals(query: SignalsQuery): Promise<readonly Signal[]>
  signal(id: string): Promise<Signal>
  /** A screen shows it; `seat` names the screen. Repeating it changes nothing. */
  markDisplayed(id: string, seat: string): Promise<Signal>
  acknowledgeSignal(id: string, officer: string): Promise<Signal>

  missions(): Promise<readonly MissionInfo[]>
  /** Payloads of governance entries, in order; returns when all of them are final. */
  submitGovernance(payloads: readonly Uint8Array[]): Promise<GovernanceFinal>

  ledgerStatus(): Promise<LedgerStatus>
  /** What validators are known to have signed against their promises. */
  ledgerEvidence(): Promise<readonly EvidenceInfo[]>
  /**
   * Checks every block of the store from genesis on, `isQuick` without the signatures of batches
   * and older certificates. Damage is a report, not an error.
   */
  verifyLedger(
    isQuick: boolean,
    onProgress: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<VerifyReport>
  /** The bytes of a ledger copy file (`TB1/ledger-copy`), from genesis to the newest block. */
  ledgerCopy(signal: AbortSignal): AsyncIterable<Uint8Array>
  /**
   * The stream of a publication (store/publication.ts); `CHECKPOINT_PENDING` before there is any,
   * or where the published one is larger.
   */
  publication(have: PublishedHere | undefined): Promise<AsyncIterable<Uint8Array>>
  /** The bytes of a proof file for a cable or a signal; `PROOF_PENDING` before it is certified. */
  proof(id: string): Promise<Uint8Array>
}

/** What a handler gets: the request, taken apart and bounded by the server. */
export interface ApiRequest {
  /** What stands in the path for each `:name`. */
  readonly path: readonly string[]
  readonly query: URLSearchParams
  /** Parsed JSON of a POST; undefined for a GET. */
  readonly body: unknown
  /** Aborts when the client goes away or the server stops. */
  readonly signal: AbortSignal
}

/** What a handler answers. */
export type ApiAnswer =
  | {
      readonly type: "json"
      readonly status: number
      readonly body: unknown
      /** Runs when the answer has left, or its reader has. */
      readonly after?: () => void
    }
  | { readonly type: "bytes"; readonly bytes: Uint8Array }
  | { readonly type: "chunks"; readonly chunks: AsyncIterable<Uint8Array> }
  | { readonly type: "lines"; readonly lines: AsyncIterable<unknown> }

export interface Route {
  readonly method: "GET" | "POST"
  /** Segments; one that begins with a colon stands for any. */
  readonly path: readonly string[]
  /** Names of the query parameters that it knows; others are refused. */
  readonly query: readonly string[]
  handle(service: NodeService, request: ApiRequest): Promise<ApiAnswer>
}

/** Every route of the API. */
const ROUTES: readonly Route[] = [
  // the node
  get("/node", [], async (service) => json(await service.status())),
  post("/node/stop", async (service, { body }) => {
    readEmpty(body)
    return { type: "json", status: 202, body: { stopping: true }, after: () => service.stop() }
  }),
  get("/events", ["after"], async (service, { query, signal }) => ({
    type: "lines",
    lines: service.events.read(serialOf(query), signal),
  })),
  get("/missions", [], async (service) => json({ missions: await service.missions() })),

  // cables
  post("/cables", async (service, { body }) =>
    json(await service.sendCable(await withWholeReply(service, readCableDraft(body))), 201),
  ),
  get("/cables", ["box", "unread", "limit"], async (service, { query }) =>
    json({ cables: await service.cables(cablesQuery(query)) }),
  ),
  get("/cables/:id", ["mark"], async (service, { path, query }) =>
    json(await service.cable(await cableId(service, path), { mark: flagOf(query, "mark") })),
  ),
  get("/cables/:id/status", [], async (service, { path }) =>
    json(await service.cableStatus(await cableId(service, path))),
  ),
  get("/cables/:id/envelope", [], async (service, { path }) =>
    bytes(await service.cableEnvelope(await cableId(service, path))),
  ),
  post("/cables/:id/acknowledge", async (service, { path, body }) => {
    const acknowledgement = readAcknowledgement(body)
    const id = await cableId(service, path)
    await service.acknowledgeCable(id, acknowledgement)
    return json({ id, stage: acknowledgement.stage })
  }),

  // hotline
  post("/signals", async (service, { body }) =>
    json(await service.raiseSignal(readSignalDraft(body)), 201),
  ),
  get("/signals", ["open", "limit"], async (service, { query }) =>
    json({
      signals: await service.signals({ open: flagOf(query, "open"), limit: limitOf(query) }),
    }),
  ),
  get("/signals/:id", [], async (service, { path }) =>
    json(await service.signal(await signalId(service, path))),
  ),
  post("/signals/:id/displayed", async (service, { path, body }) => {
    const seat = readDisplayed(body)
    return json(await service.markDisplayed(await signalId(service, path), seat))
  }),
  post("/signals/:id/acknowledge", async (service, { path, body }) => {
    const officer = readSignalAcknowledgement(body)
    return json(await service.acknowledgeSignal(await signalId(service, path), officer))
  }),

  // ledger
  post("/governance", async (service, { body }) =>
    json(await service.submitGovernance(readGovernance(body))),
  ),
  get("/ledger", [], async (service) => json(await service.ledgerStatus())),
  get("/ledger/evidence", [], async (service) =>
    json({ evidence: await service.ledgerEvidence() }),
  ),
  post("/ledger/verify", async (service, { body, signal }) => {
    return { type: "lines", lines: verifyLines(service, readQuick(body), signal) }
  }),
  get("/ledger/copy", [], async (service, { signal }) => ({
    type: "chunks",
    chunks: service.ledgerCopy(signal),
  })),
  get("/ledger/publication", ["size", "root", "bundles"], async (service, { query }) => ({
    type: "chunks",
    chunks: await service.publication(publishedOf(query)),
  })),
  get("/ledger/proofs/:id", [], async (service, { path }) =>
    bytes(await service.proof(await anyId(service, path))),
  ),
]

/**
 * The route of a request, and what stands in the places of its path.
 *
 * @throws {@link NodeError} `API_NOT_FOUND` when there is none.
 */
export function findRoute(
  method: string,
  pathname: string,
): { readonly route: Route; readonly path: readonly string[] } {
  const segments = pathname.split("/").slice(1)
  for (const route of ROUTES) {
    if (route.method !== method || route.path.length !== segments.length) continue
    const path: string[] = []
    const fits = route.path.every((part, index) => {
      const segment = segments[index] ?? ""
      if (part.startsWith(":")) path.push(segment)
      return part.startsWith(":") ? segment !== "" : part === segment
    })
    if (fits) return { route, path }
  }
  throw new NodeError("API_NOT_FOUND", "no such method and path in the local API")
}

type Handler = Route["handle"]

function get(path: string, query: readonly string[], handle: Handler): Route {
  return { method: "GET", path: path.split("/").slice(1), query, handle }
}

function post(path: string, handle: Handler): Route {
  return { method: "POST", path: path.split("/").slice(1), query: [], handle }
}

function json(body: unknown, status = 200): ApiAnswer {
  return { type: "json", status, body }
}

function bytes(content: Uint8Array): ApiAnswer {
  return { type: "bytes", bytes: content }
}

const WHOLE_ID = /^[0-9a-f]{64}$/

async function cableId(service: NodeService, path: readonly string[]): Promise<string> {
  return wholeId(service, ["cable"], path[0] ?? "")
}

async function signalId(service: NodeService, path: readonly string[]): Promise<string> {
  return wholeId(service, ["signal"], path[0] ?? "")
}

async function anyId(service: NodeService, path: readonly string[]): Promise<string> {
  return wholeId(service, ["cable", "signal"], path[0] ?? "")
}

async function withWholeReply(service: NodeService, draft: CableDraft): Promise<CableDraft> {
  if (draft.inReplyTo === undefined) return draft
  return { ...draft, inReplyTo: await wholeId(service, ["cable"], draft.inReplyTo) }
}

/** People type a part of an id; everything behind this line sees whole ones. */
async function wholeId(
  service: NodeService,
  kinds: readonly ("cable" | "signal")[],
  text: string,
): Promise<string> {
  const prefix = text.toLowerCase()
  if (WHOLE_ID.test(prefix)) return prefix
  if (!/^[0-9a-f]*$/.test(prefix) || prefix.length > 64) {
    throw new NodeError("API_REQUEST", "id: expected hex digits")
  }
  if (prefix.length < ID_PREFIX_DIGITS_MIN) {
    throw new NodeError(
      "API_REQUEST",
      `id: expected at least ${ID_PREFIX_DIGITS_MIN} hex digits, got ${prefix.length}`,
    )
  }
  const found: string[] = []
  for (const kind of kinds) found.push(...(await service.findIds(kind, prefix)))
  const [id, ...others] = found
  if (others.length > 0) {
    throw new NodeError("API_REQUEST", `id ${prefix}: several begin so, expected more digits`)
  }
  if (id === undefined) {
    const code = kinds.includes("cable") ? "CABLE_UNKNOWN" : "SIGNAL_UNKNOWN"
    throw new NodeError(code, `no ${kinds.join(" or ")} ${prefix}`)
  }
  return id
}

function cablesQuery(query: URLSearchParams): CablesQuery {
  const box = query.get("box") ?? "inbox"
  if (box !== "inbox" && box !== "sent") {
    throw new NodeError("API_REQUEST", "box: expected inbox or sent")
  }
  return { box, unread: flagOf(query, "unread"), limit: limitOf(query) }
}

function flagOf(query: URLSearchParams, name: string): boolean {
  const value = query.get(name) ?? "0"
  if (value !== "0" && value !== "1") throw new NodeError("API_REQUEST", `${name}: expected 0 or 1`)
  return value === "1"
}

function limitOf(query: URLSearchParams): number {
  const limit = numberOf(query, "limit") ?? API_LIST_LIMIT
  if (limit < 1 || limit > API_LIST_LIMIT_MAX) {
    throw new NodeError("API_REQUEST", `limit: expected 1 to ${API_LIST_LIMIT_MAX}`)
  }
  return limit
}

function serialOf(query: URLSearchParams): number | undefined {
  return numberOf(query, "after")
}

function publishedOf(query: URLSearchParams): PublishedHere | undefined {
  const root = query.get("root")
  if (root === null) return undefined
  const [size, bundles] = [numberOf(query, "size"), numberOf(query, "bundles")]
  if (size !== undefined && bundles !== undefined) return { size, root, bundles }
  throw new NodeError("API_REQUEST", "root: expected size and bundles beside it")
}

function numberOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name)
  if (text === null) return undefined
  const number = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(number))
    throw new NodeError("API_REQUEST", `${name}: expected a number`)
  return number
}

/** Progress while the node verifies, then the report as the last line. */
async function* verifyLines(
  service: NodeService,
  isQuick: boolean,
  signal: AbortSignal,
): AsyncIterable<unknown> {
  let progress: { done: number; total: number } | undefined
  let wake = (): void => {}
  const onProgress = (done: number, total: number): void => {
    progress = { done, total }
    wake()
  }
  const verified = service.verifyLedger(isQuick, onProgress, signal)
  const ended = verified.then(
    () => true,
    () => true,
  )
  for (;;) {
    const next = new Promise<false>((resolve) => (wake = () => resolve(false)))
    const reached = progress
    progress = undefined
    if (reached !== undefined) yield reached
    if (await Promise.race([ended, next])) break
  }
  yield await verified
}
