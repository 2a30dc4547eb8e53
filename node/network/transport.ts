/**
 * What delivery, hotline and consensus know of the network: members, requests and contact.
 *
 * The real one is {@link file://./host.ts} over libp2p; the simulator has another
 * (test/support/network.ts). Peers are named by their transport key in hex, which the directory
 * maps to missions; the transport has proven possession of that key before anything arrives here.
 */

/** Raw Ed25519 transport key of a mission's node, 64 hex digits. */
export type PeerKey = string

/**
 * Which connection carries a protocol. `urgent` (hotline, consensus, receipts of signals) has its
 * own connection, so that bulk never stands in its way.
 */
export type Lane = "urgent" | "bulk"

export interface ProtocolSpec {
  /** `/tarbarta/<name>/<version>`. */
  readonly id: string
  readonly lane: Lane
  /** Largest request and largest answer, in bytes. Longer ones are refused before they are read. */
  readonly requestBytesMax: number
  readonly answerBytesMax: number
  /** Whole exchange, dialling included. */
  readonly timeoutMs: number
  /**
   * Time in which not a byte of an answer moves on the stream; so a large answer may take
   * `timeoutMs` on a thin line, and one that stalls does not.
   */
  readonly stallMs?: number
}

/** The connection that a request came on, as far as a handler may know it. */
export interface Carrier {
  /**
   * The other side has ended it: its process is gone, or has let go of it. False while it stands,
   * and also when we cut it or the line broke: then nobody knows.
   */
  readonly isClosed: boolean
}

/**
 * Answers one request. An answer that must be durable is returned only after the disk has it.
 * A thrown `TarbartaError` reaches the other side as `REQUEST_REFUSED` with its code; anything else
 * thrown there is a bug, is logged and resets the stream (`PEER_UNREACHABLE` on the other side).
 *
 * Several requests of one peer are handled at the same time. The bytes of `request` belong to the
 * handler. It is not told when the asker gives up: what it did stands, so requests are idempotent.
 */
export type RequestHandler = (
  from: PeerKey,
  request: Uint8Array,
  carrier: Carrier,
) => Promise<Uint8Array>

export interface Transport {
  /** Registers the one handler of a protocol; before `start`. */
  handle(protocol: ProtocolSpec, handler: RequestHandler): void

  /**
   * Sends one request and waits for its answer. Many may be under way at once to one peer; they
   * start in the order in which they were made, except that requests of at most `FRAME_BYTES_MAX`
   * overtake longer ones. Made before `start`, one waits for that. `message` must not change until
   * the promise is settled. An aborted `signal` rejects with its reason.
   *
   * Failures (`NodeError`): `PEER_UNREACHABLE`, `PEER_DENIED`, `STREAM_DEADLINE`, `STREAM_LIMIT`,
   * `STREAM_PROTOCOL`, `REQUEST_REFUSED` with the remote code in `refusal`, `NODE_BUSY` when the
   * other side is at its memory budget.
   */
  request(
    peer: PeerKey,
    protocol: ProtocolSpec,
    message: Uint8Array,
    options?: { signal?: AbortSignal; timeoutMs?: number },
  ): Promise<Uint8Array>

  /** Peers with a live, admitted connection for each lane, or for the one that is named. */
  connected(lane?: Lane): PeerKey[]

  /**
   * Called when a peer becomes reachable (either side dialled) or is lost: on all lanes, or on the
   * one that is named, which may stand long before the other does. Returns unsubscribe.
   */
  onContact(listener: ContactListener, lane?: Lane): () => void

  /**
   * The members that may connect, with the multiaddrs to try. Replaces the former list; live
   * connections of peers that are gone from it are closed at once. `keep` members are redialled
   * for ever by the transport itself (backoff at most 5 s for them), others on demand; `eager`
   * ones without backoff, so that they have contact about a second after the line is back. May be
   * called before `start`; the own key in the list is ignored. A peer without addresses is reached
   * when it dials us.
   */
  setMembers(members: readonly Member[]): void

  start(): Promise<void>
  stop(): Promise<void>
}

export type ContactListener = (peer: PeerKey, state: "up" | "down") => void

export interface Member {
  readonly peer: PeerKey
  readonly addresses: readonly string[]
  readonly keep: boolean
  /** Few, such as the other validators of a validator: each costs a packet a second while away. */
  readonly eager?: boolean
}
