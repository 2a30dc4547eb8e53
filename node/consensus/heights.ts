/**
 * Who has how much of the chain (LEDGER §11): nodes tell each other their heights on contact,
 * validators also after every block.
 *
 * A peer is told until it has heard. What it answers is a hint that follower.ts weighs.
 */

import { quorumOf } from "../../ledger/validators.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { RETRY_MIN_MS, SYNC_POLL_MS } from "../../protocol/limits.ts"
import { decodeNumber, encodeNumber, PROTOCOLS } from "../../protocol/wire.ts"
import type { Clock, Timer } from "../clock.ts"
import type { PeerKey, Transport } from "../network/transport.ts"

export interface HeightsParts {
  readonly transport: Transport
  readonly clock: Clock
  readonly ownHeight: () => number
  /** Transport keys of the validators, this node's excepted. */
  readonly validators: () => readonly PeerKey[]
  /** Validators tell after every block. */
  readonly isValidator: boolean
  /** A peer told its height. */
  readonly onHeard: (peer: PeerKey, height: number) => void
  /** A peer is out of reach. */
  readonly onLost: (peer: PeerKey) => void
}

/** What a peer was told of our height. */
interface Told {
  /** -1 since the last contact: nothing yet. */
  height: number
  isBusy: boolean
  failures: number
  timer: Timer | undefined
}

export class Heights {
  readonly #parts: HeightsParts
  readonly #told = new Map<PeerKey, Told>()
  #unsubscribe: (() => void) | undefined
  #pollTimer: Timer | undefined
  #polled = 0
  #isRunning = false

  constructor(parts: HeightsParts) {
    this.#parts = parts
  }

  start(): void {
    this.#isRunning = true
    this.#unsubscribe = this.#parts.transport.onContact((peer, state) => {
      this.#forget(peer)
      if (state === "up") this.#tell(peer)
      else this.#parts.onLost(peer)
    })
    for (const peer of this.#parts.transport.connected()) this.#tell(peer)
    this.#schedulePoll()
  }

  stop(): void {
    this.#isRunning = false
    this.#unsubscribe?.()
    this.#pollTimer?.cancel()
    for (const told of this.#told.values()) told.timer?.cancel()
  }

  /** Answers a peer's height with ours. */
  receive(peer: PeerKey, request: Uint8Array): Uint8Array {
    this.#hear(peer, decodeNumber(request, "height"))
    return encodeNumber(this.#parts.ownHeight())
  }

  /** After a final block of our own making: all who are connected hear of it. */
  announce(): void {
    for (const peer of this.#parts.transport.connected()) this.#tell(peer)
  }

  /** Exchanges heights anew, also after a failed request has made a claim void. */
  ask(peer: PeerKey): void {
    const told = this.#told.get(peer)
    if (told !== undefined) told.height = -1
    this.#tell(peer)
  }

  #forget(peer: PeerKey): void {
    this.#told.get(peer)?.timer?.cancel()
    this.#told.delete(peer)
  }

  #hear(peer: PeerKey, height: number): void {
    if (this.#isRunning) this.#parts.onHeard(peer, height)
  }

  #tell(peer: PeerKey): void {
    const told = this.#told.get(peer) ?? {
      height: -1,
      isBusy: false,
      failures: 0,
      timer: undefined,
    }
    this.#told.set(peer, told)
    if (!this.#isRunning || told.isBusy || told.timer !== undefined) return
    const height = this.#parts.ownHeight()
    const isDue = this.#parts.isValidator ? told.height < height : told.height < 0
    if (!isDue) return
    told.isBusy = true
    void this.#exchange(peer, told, height)
  }

  async #exchange(peer: PeerKey, told: Told, height: number): Promise<void> {
    const { transport, clock } = this.#parts
    try {
      const answer = await transport.request(peer, PROTOCOLS.height, encodeNumber(height))
      told.height = height
      told.failures = 0
      this.#hear(peer, decodeNumber(answer, "height answer"))
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      const isConnected = transport.connected().includes(peer)
      if (this.#isRunning && isConnected && this.#told.get(peer) === told) {
        const delayMs = Math.min(RETRY_MIN_MS * 2 ** told.failures, SYNC_POLL_MS)
        told.failures += 1
        told.timer = clock.after(delayMs, () => {
          told.timer = undefined
          this.#tell(peer)
        })
      }
    } finally {
      told.isBusy = false
    }
    if (told.timer === undefined && this.#told.get(peer) === told) this.#tell(peer)
  }

  /**
   * So many validators as the ledger can do without may be stuck, cut off from the others or lying:
   * while no more of them are in reach a peer is asked now and again, whoever it is.
   */
  #schedulePoll(): void {
    this.#pollTimer = this.#parts.clock.after(SYNC_POLL_MS, () => {
      this.#schedulePoll()
      const { transport, validators, isValidator } = this.#parts
      const peers = transport.connected()
      const others = validators()
      // The only validator makes every block itself.
      if (isValidator && others.length === 0) return
      const count = others.length + (isValidator ? 1 : 0)
      const inReach = others.filter((peer) => peers.includes(peer)).length
      if (inReach > count - quorumOf(count)) return
      const peer = peers[this.#polled % peers.length]
      this.#polled += 1
      if (peer !== undefined) this.ask(peer)
    })
  }
}
