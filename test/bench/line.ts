/**
 * A line between threads: what they tell each other arrives a fixed time later, never before it, and as
 * soon after as the receiver has time.
 *
 * The delay is kept by a thread that does nothing else and sleeps meanwhile, so that it takes no
 * processor from those whom it connects, and a thread that is busy does not delay the others. Nobody
 * wakes it, which would cost a sender more than all the rest: it looks often enough. It hands over a
 * little early, because a thread that sleeps needs a moment to wake; the receiver waits for what is
 * left. Nothing is lost, and what one tells another stays in its order.
 */

import {
  isMainThread,
  MessageChannel,
  receiveMessageOnPort,
  Worker,
  workerData,
  type MessagePort,
} from "node:worker_threads"
import { wallMs } from "./validator.ts"

/** What a thread that sleeps takes to wake. */
const WAKING_MS = 0.1
/** Looks within a delay. */
const LOOKS = 8
/** Place of the delay in what the threads share, and one that never changes. */
const DELAY_MS = 0
const STILL = 1
const SHARED_LENGTH = 2

/** One end of the line, to be handed to the thread that uses it. */
export interface LineEnd {
  readonly port: MessagePort
  /** What all threads of the line share: {@link DELAY_MS}. */
  readonly shared: Int32Array
}

/** Something on its way to the end with this number; what is in it is for the ends. */
export interface Parcel {
  readonly to: number
  /** As wallMs. */
  readonly sentMs: number
  /** When it must arrive. */
  readonly dueMs: number
}

interface LineData {
  readonly ports: readonly MessagePort[]
  readonly shared: Int32Array
}

/** A line and the thread that keeps its delay. */
export class Line {
  readonly #shared = new Int32Array(
    new SharedArrayBuffer(SHARED_LENGTH * Int32Array.BYTES_PER_ELEMENT),
  )
  readonly #thread: Worker
  /** By their numbers. */
  readonly ends: readonly LineEnd[]

  constructor(count: number, delayMs: number) {
    this.setDelay(delayMs)
    const channels = Array.from({ length: count }, () => new MessageChannel())
    const ports = channels.map(({ port2 }) => port2)
    const shared = this.#shared
    this.#thread = new Worker(new URL(import.meta.url), {
      workerData: { ports, shared } satisfies LineData,
      transferList: ports,
    })
    this.ends = channels.map(({ port1 }) => ({ port: port1, shared }))
  }

  /** One way, whole milliseconds; of what is sent from now on. */
  setDelay(delayMs: number): void {
    Atomics.store(this.#shared, DELAY_MS, delayMs)
  }

  async close(): Promise<void> {
    await this.#thread.terminate()
  }
}

/** Puts something on the line. */
export function send<Content extends object>(
  { port, shared }: LineEnd,
  to: number,
  content: Content,
): void {
  const sentMs = wallMs()
  const parcel = { ...content, to, sentMs, dueMs: sentMs + Atomics.load(shared, DELAY_MS) }
  // eslint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a page
  port.postMessage(parcel satisfies Parcel)
}

/** Calls `take` with all that comes out of the line, none of it early, and how long it took. */
export function receive<Content extends object>(
  { port }: LineEnd,
  take: (content: Content, tookMs: number) => void,
): void {
  port.on("message", (parcel: Content & Parcel) => {
    while (wallMs() < parcel.dueMs);
    take(parcel, wallMs() - parcel.sentMs)
  })
}

/** Runs until its thread is ended. */
function carry({ ports, shared }: LineData): never {
  const underWay: Parcel[] = []
  for (;;) {
    for (const port of ports) {
      for (;;) {
        const received = receiveMessageOnPort(port)
        if (received === undefined) break
        underWay.push(received.message as Parcel)
      }
    }
    underWay.sort((a, b) => a.dueMs - b.dueMs)
    for (;;) {
      const next = underWay[0]
      if (next === undefined || next.dueMs - WAKING_MS > wallMs()) break
      underWay.shift()
      // eslint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a page
      ports[next.to]?.postMessage(next)
    }
    const dueMs = underWay[0]?.dueMs ?? Infinity
    const lookMs = Atomics.load(shared, DELAY_MS) / LOOKS
    Atomics.wait(shared, STILL, 0, Math.max(0, Math.min(dueMs - WAKING_MS - wallMs(), lookMs)))
  }
}

const data = workerData as Partial<LineData> | null
if (!isMainThread && data?.ports !== undefined) carry(data as LineData)
