/**
 * Bad lines: a TCP port in front of every node, through which all connections to it go.
 *
 * Each connection has a one-way delay of its own. A loss is what TCP makes of it: the chunk that was
 * lost holds up all behind it until it is sent again. Now and then a connection breaks; and where one
 * ends, the other side sometimes does not hear of it for a while, as when the power fails. What
 * happens to the n-th connection of a node depends on the seed alone.
 */

import { once } from "node:events"
import { createServer, connect, type Server, type Socket } from "node:net"
import { randomInt, seededRandom } from "../support/rng.ts"
import { freePort } from "../support/processes.ts"

const DELAY_MIN_MS = 20
const DELAY_MAX_MS = 350
/** Share of chunks that are lost once, and how long until they have been sent again. */
const LOSS_PERCENT = 5
const RETRANSMIT_MIN_MS = 200
const RETRANSMIT_MAX_MS = 1_000
/** A connection breaks after so long, if nothing ends it before. */
const BREAK_MIN_MS = 30_000
const BREAK_MAX_MS = 300_000
/** One end in so many is not heard of by the other side for so long. */
const SILENT_ENDS = 4
const SILENT_MIN_MS = 5_000
const SILENT_MAX_MS = 20_000
/** What a line holds in one direction before it takes nothing more. */
const HELD_BYTES_MAX = 256 * 1_024

/** `quick`: bytes pass as they come. `bad`: everything above. `steady`: delay alone. */
export type Weather = "quick" | "bad" | "steady"

export interface LineCounts {
  connections: number
  chunks: number
  stalls: number
  breaks: number
  silentEnds: number
}

export class Lines {
  weather: Weather = "quick"
  readonly counts: LineCounts = { connections: 0, chunks: 0, stalls: 0, breaks: 0, silentEnds: 0 }
  readonly #seed: string
  readonly #servers: Server[] = []
  readonly #connections = new Set<Connection>()

  constructor(seed: string) {
    this.#seed = seed
  }

  /** Opens the line to a node that listens on `port`; returns the port that others dial. */
  async open(port: number, code: string): Promise<number> {
    let count = 0
    const server = createServer({ allowHalfOpen: true }, (near) => {
      const random = seededRandom(`line ${this.#seed} ${code} ${count++}`)
      const draw = (from: number, to: number): number => from + randomInt(random, to - from + 1)
      const connection = new Connection({ near, port, draw, lines: this })
      this.counts.connections += 1
      this.#connections.add(connection)
      connection.gone.then(
        () => this.#connections.delete(connection),
        () => undefined,
      )
    })
    const published = await freePort()
    server.listen({ port: published, host: "127.0.0.1" })
    await once(server, "listening")
    this.#servers.push(server)
    return published
  }

  /** Ends all connections and takes no more. */
  close(): void {
    for (const server of this.#servers) server.close()
    for (const connection of this.#connections) connection.destroy()
  }
}

interface ConnectionParts {
  readonly near: Socket
  /** Where the node listens. */
  readonly port: number
  readonly draw: (from: number, to: number) => number
  readonly lines: Lines
}

/** One connection to a node, as two directions that know nothing of each other. */
class Connection {
  readonly gone: Promise<void>
  readonly #parts: ConnectionParts
  readonly #delayMs: number
  readonly #end = Promise.withResolvers<void>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #near: Socket
  #far: Socket | undefined
  #isJoined = false
  #isEnding = false

  constructor(parts: ConnectionParts) {
    this.#parts = parts
    this.#near = parts.near
    this.gone = this.#end.promise
    this.#delayMs = parts.draw(DELAY_MIN_MS, DELAY_MAX_MS)
    const breakMs = parts.draw(BREAK_MIN_MS, BREAK_MAX_MS)
    this.#watch(this.#near)
    this.#near.pause()
    this.#after(this.delayMs(), () => this.#join())
    this.#after(breakMs, () => this.#break())
  }

  /** Of the next chunk, one way. */
  delayMs(): number {
    const { draw, lines } = this.#parts
    if (lines.weather === "quick") return 0
    if (lines.weather === "steady" || draw(1, 100) > LOSS_PERCENT) return this.#delayMs
    lines.counts.stalls += 1
    return this.#delayMs + draw(RETRANSMIT_MIN_MS, RETRANSMIT_MAX_MS)
  }

  destroy(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#near.destroy()
    this.#far?.destroy()
    this.#end.resolve()
  }

  #join(): void {
    const far = connect({ port: this.#parts.port, host: "127.0.0.1", allowHalfOpen: true })
    this.#far = far
    this.#watch(far)
    far.once("connect", () => {
      this.#isJoined = true
      this.#carry(this.#near, far)
      this.#carry(far, this.#near)
    })
  }

  #watch(socket: Socket): void {
    socket.setNoDelay(true)
    socket.on("error", () => undefined)
    socket.on("close", () => this.#ended(socket))
  }

  /** One side is gone without a word: the other hears of it later, or much later. */
  #ended(socket: Socket): void {
    const other = socket === this.#near ? this.#far : this.#near
    if (other === undefined || other.destroyed) {
      this.destroy()
      return
    }
    if (this.#isEnding) return
    this.#isEnding = true
    this.#after(this.#isHeard() ? this.delayMs() : this.#silenceMs(), () => this.destroy())
  }

  #isHeard(): boolean {
    const { draw, lines } = this.#parts
    return draw(1, SILENT_ENDS) > 1 || lines.weather !== "bad" || !this.#isJoined
  }

  #silenceMs(): number {
    const { draw, lines } = this.#parts
    lines.counts.silentEnds += 1
    return draw(SILENT_MIN_MS, SILENT_MAX_MS)
  }

  #break(): void {
    if (this.#parts.lines.weather !== "bad") return
    this.#parts.lines.counts.breaks += 1
    this.#near.resetAndDestroy()
    this.#far?.resetAndDestroy()
  }

  /** Chunks and the end arrive in order, each after its delay. */
  #carry(from: Socket, to: Socket): void {
    const { counts } = this.#parts.lines
    // Timers of different lengths may fire out of order: each delivers what is first.
    const held: { readonly bytes: number; readonly deliver: () => void }[] = []
    let heldBytes = 0
    let lastMs = 0
    const later = (bytes: number, deliver: () => void): void => {
      const nowMs = performance.now()
      lastMs = Math.max(lastMs, nowMs + this.delayMs())
      held.push({ bytes, deliver })
      heldBytes += bytes
      if (heldBytes > HELD_BYTES_MAX) from.pause()
      this.#after(lastMs - nowMs, () => {
        const first = held.shift()
        heldBytes -= first?.bytes ?? 0
        if (heldBytes <= HELD_BYTES_MAX) from.resume()
        if (to.writable) first?.deliver()
      })
    }
    from.on("data", (chunk: Buffer) => {
      counts.chunks += 1
      later(chunk.length, () => to.write(chunk))
    })
    from.on("end", () => {
      if (this.#isEnding) return
      if (this.#isHeard()) {
        later(0, () => to.end())
        return
      }
      this.#isEnding = true
      this.#after(this.#silenceMs(), () => this.destroy())
    })
    from.resume()
  }

  #after(waitMs: number, then: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      then()
    }, waitMs)
    this.#timers.add(timer)
  }
}
