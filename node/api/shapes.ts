/**
 * What travels between a node and its local clients (CLI, console, scripts): JSON bodies of the
 * routes and the events of the stream (docs/OPERATIONS.md, "Local API").
 *
 * Ids are lower-case hex. Times are Unix milliseconds. Missions are named by code.
 */

export type Precedence = "deferred" | "routine" | "priority" | "immediate" | "flash" | "override"
export type Classification =
  "unclassified" | "restricted" | "confidential" | "secret" | "top-secret"
export type Kind = "real" | "exercise" | "drill" | "test"

/** `POST /cables` */
export interface CableDraft {
  readonly to: readonly string[]
  readonly info?: readonly string[]
  readonly exempted?: readonly string[]
  readonly precedence?: Precedence
  readonly classification?: Classification
  readonly caveats?: readonly string[]
  readonly kind?: Kind
  readonly subject: string
  readonly text: string
  /** Date-time group as printed, such as `211935Z JUL 67`; the node writes its own when absent. */
  readonly dtg?: string
  readonly originRef?: string
  readonly references?: readonly string[]
  readonly subjectCodes?: readonly string[]
  readonly inReplyTo?: string
  /** Officers by name; the first enrolled drafter stands in when absent. */
  readonly drafter?: string
  readonly releaser?: string
  readonly breakGlass?: boolean
}

export interface CableQueued {
  readonly id: string
  readonly seq: number
  /** True when NFC changed the text that came in. */
  readonly textChanged: boolean
}

/** How far a cable has come at one addressee. */
export type DeliveryState =
  "queued" | "relayed" | "stored" | "delivered" | "read" | "acted" | "refused"

export interface AddresseeStatus {
  readonly mission: string
  readonly role: "action" | "info"
  readonly precedence: Precedence
  readonly state: DeliveryState
  /** When the state was reached, by the clock of the node that reports it. */
  readonly atMs: number
  /** Relays that hold a copy. */
  readonly relays: readonly string[]
  readonly attempts: number
  readonly reason?: string
}

/** `GET /cables/:id/status` */
export interface CableStatus {
  readonly id: string
  readonly from: string
  readonly seq: number
  readonly createdMs: number
  readonly subject: string
  readonly addressees: readonly AddresseeStatus[]
  /** Every addressee has decrypted it. */
  readonly delivered: boolean
  /** Its entry stands in a final block. */
  readonly registered: boolean
  readonly ledger?: { readonly index: number; readonly height: number }
}

/** One line of `GET /cables?box=…` */
export interface CableSummary {
  readonly id: string
  readonly box: "inbox" | "sent"
  readonly from: string
  readonly to: readonly string[]
  readonly info: readonly string[]
  readonly precedence: Precedence
  readonly classification: Classification
  readonly kind: Kind
  readonly subject: string
  readonly dtg: string
  readonly createdMs: number
  readonly storedMs: number
  readonly read: boolean
  readonly acted: boolean
  readonly bytes: number
}

/** `GET /cables/:id`; marks it read when `?mark=1`. */
export interface Cable extends CableSummary {
  readonly seq: number
  readonly text: string
  readonly caveats: readonly string[]
  readonly originRef: string
  readonly references: readonly string[]
  readonly subjectCodes: readonly string[]
  readonly inReplyTo?: string
  readonly exempted: readonly string[]
  readonly drafter: string
  readonly releaser?: string
  readonly breakGlass: boolean
  readonly registered: boolean
  readonly warnings: readonly string[]
}

/** `POST /signals` */
export interface SignalDraft {
  /** Absent: every desk of the policy. */
  readonly to?: readonly string[]
  readonly event: string
  readonly text: string
  readonly place?: string
  readonly urgency?: string
  readonly severity?: string
  readonly certainty?: string
  readonly kind?: Kind
  readonly officer?: string
}

export type SignalState = "raised" | "sent" | "displayed" | "acknowledged" | "expired"

export interface SignalDesk {
  readonly mission: string
  readonly state: SignalState
  readonly sentMs?: number
  readonly displayedMs?: number
  readonly acknowledgedMs?: number
  readonly officer?: string
}

/** A signal as either side sees it; `desks` is empty at a receiver but for itself. */
export interface Signal {
  readonly id: string
  readonly direction: "raised" | "received"
  readonly from: string
  readonly kind: Kind
  readonly event: string
  readonly text: string
  readonly place: string
  readonly urgency: string
  readonly severity: string
  readonly certainty: string
  readonly raisedMs: number
  readonly receivedMs?: number
  readonly desks: readonly SignalDesk[]
  /** Raise → first displayed, in milliseconds of the raiser's clock. */
  readonly displayedAfterMs?: number
  readonly acknowledgedAfterMs?: number
}

export interface MissionInfo {
  readonly rid: number
  readonly code: string
  readonly nameEn: string
  readonly nameBn: string
  readonly peer: string
  readonly isHeadquarters: boolean
  readonly isSelf: boolean
  readonly connected: boolean
  readonly admittedHeight: number
  readonly revokedHeight?: number
  readonly officers: readonly { readonly name: string; readonly roles: readonly string[] }[]
  readonly newestEpoch?: number
  readonly waiting: number
}

/** One validator as this node sees it. */
export interface ValidatorInfo {
  readonly mission: string
  /**
   * `self` is this node. A validator that votes sees who else does: `voting` was heard within 30 s,
   * `silent` was not although its link is up, `down` has no link. All other nodes see links alone:
   * `up` or `down`.
   */
  readonly state: "self" | "voting" | "silent" | "up" | "down"
  readonly connected: boolean
  /** On a validator that votes: when it last heard this one, at the earliest its own first vote. */
  readonly heardAtMs?: number
}

/** What this node's own validator key does. */
export interface OwnVote {
  /**
   * `asking`: its peers have not yet said that they know of no later run of this key. `stalled`: its
   * votes wait for the disk of the consensus log, which does not answer.
   */
  readonly state: "voting" | "stalled" | "asking" | "refused"
  /** Why it is refused. */
  readonly code?: string
  readonly message?: string
  /** A copy of this node's disk was started elsewhere with the same key. */
  readonly isCopied?: boolean
}

/** `GET /ledger` */
export interface LedgerStatus {
  readonly network: string
  /** When this was so, by the node's clock. */
  readonly atMs: number
  readonly height: number
  readonly entries: number
  readonly rootHash: string
  readonly blockHash: string
  /** Hash over governance actions; a new proposal builds on it. */
  readonly governanceState: string
  /** Time of the newest final block, by its proposer's clock. */
  readonly finalAtMs?: number
  /** View of the newest final block. */
  readonly finalView: number
  /** The view that is under way; only a validator that votes knows it. */
  readonly view?: number
  /** Views that passed with nothing final while something waited; known with `view`. */
  readonly viewsInVain?: number
  /** By their numbers in votes. */
  readonly validators: readonly ValidatorInfo[]
  readonly quorum: {
    readonly validators: number
    /** Validators whose votes decide. */
    readonly needed: number
    /** Validators that this node hears or, where it does not vote, has a link to. */
    readonly heard: number
    readonly isMet: boolean
  }
  readonly isValidator: boolean
  /** Absent where there is no validator key. */
  readonly vote?: OwnVote
  /** Entries of this node that wait for a final block. */
  readonly pending: number
  /** Highest height that any connected peer claims. */
  readonly heightSeen: number
  /** Pieces of evidence against validators, and whom they accuse. */
  readonly evidence: number
  readonly accused: readonly string[]
}

/** One of two votes that exclude each other. */
export interface SignedVote {
  readonly kind: "notarize" | "nullify" | "finalize"
  /** Absent for `nullify`, which names no block. */
  readonly blockHash?: string
}

/** One line of `GET /ledger/evidence` */
export interface EvidenceInfo {
  readonly epoch: number
  readonly view: number
  readonly mission: string
  readonly first: SignedVote
  readonly second: SignedVote
  /** The entry that records it; absent while it is known here alone. */
  readonly index?: number
  /** Both signed votes, as an entry holds them, in hex: anybody can check them. */
  readonly proof: string
}

/** `GET /node` */
export interface NodeStatus {
  readonly version: string
  readonly mission: string
  readonly network: string
  readonly fingerprint: string
  readonly admitted: boolean
  readonly pid: number
  readonly startedMs: number
  readonly addresses: readonly string[]
  readonly connected: readonly string[]
  readonly outbox: number
  readonly relayed: number
  readonly unread: number
  readonly openSignals: number
  readonly ledger: LedgerStatus
  readonly warnings: readonly string[]
}

/** Last line of `POST /ledger/verify`; lines before it carry `done` and `total`. */
export interface VerifyReport {
  readonly ok: boolean
  readonly blocks: number
  /** Quorum certificates that were checked: one for each block, or the newest alone. */
  readonly certificates: number
  readonly entries: number
  readonly rootHash: string
  readonly error?: { readonly code: string; readonly message: string }
}

/** One line of `GET /events`. `serial` grows by one per event; `?after=` resumes where it can. */
export type NodeEvent = { readonly serial: number; readonly atMs: number } & (
  | { readonly type: "cable-queued"; readonly id: string }
  | {
      readonly type: "cable-progress"
      readonly id: string
      readonly mission: string
      readonly state: DeliveryState
    }
  | { readonly type: "cable-delivered"; readonly id: string }
  | { readonly type: "cable-registered"; readonly id: string; readonly index: number }
  | { readonly type: "cable-received"; readonly cable: CableSummary }
  | { readonly type: "signal-received"; readonly signal: Signal }
  | { readonly type: "signal-progress"; readonly signal: Signal }
  | { readonly type: "contact"; readonly mission: string; readonly up: boolean }
  | {
      readonly type: "block"
      readonly height: number
      readonly entries: number
      /** In which it was proposed, and by whom. */
      readonly view: number
      readonly leader: string
    }
  | { readonly type: "alarm"; readonly code: string; readonly message: string }
  /** The reader was too slow or came back too late: ask for the lists again. */
  | { readonly type: "resync" }
)

/** `POST /cables/:id/acknowledge` */
export interface Acknowledgement {
  readonly stage: "read" | "acted"
  /** By name; absent: the mission itself acknowledges. */
  readonly officer?: string
}

/** `POST /governance`: entries that passed, and the block that made them final. */
export interface GovernanceFinal {
  readonly height: number
  /** Ledger index of each entry, in the order in which they were handed in. */
  readonly indices: readonly number[]
}

/** Body of every answer that is not 2xx. */
export interface ApiFailure {
  readonly error: { readonly code: string; readonly message: string; readonly hint?: string }
}
