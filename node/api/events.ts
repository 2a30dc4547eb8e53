/**
 * What the node tells its screens: a bounded log of recent events, read by any number of streams,
 * each at its own pace (OPERATIONS, "Local API").
 *
 * A reader holds a place in the log, never a queue of its own, so a slow one costs nothing: when
 * the log has moved past its place, it gets one `resync` and goes on with what is there.
 */

import { API_EVENTS_KEPT } from "../../protocol/limits.ts"
import type { Clock } from "../clock.ts"
import type { EventSource } from "./routes.ts"
import type { NodeEvent } from "./shapes.ts"

type WithoutStamp<E> = E extends unknown ? Omit<E, "serial" | "atMs"> : never
/** An event as its maker gives it; the log adds serial and time. */
export type EventBody = WithoutStamp<NodeEvent>

export class EventLog implements EventSource {
  readonly #clock: Clock
  readonly #kept: NodeEvent[] = []
  readonly #waiting = new Set<() => void>()
  #serial: number

  /** Serials begin at the clock's microsecond, so a restarted node does not repeat old ones. */
  constructor(clock: Clock) {
    this.#clock = clock
    this.#serial = clock.now() * 1_000
  }

  /** Serial of the newest event. */
  get serial(): number {
    return this.#serial
  }

  publish(body: EventBody): void {
    this.#serial += 1
    this.#kept.push({ ...body, serial: this.#serial, atMs: this.#clock.now() })
    // Trimmed by halves, so that it costs nothing per event.
    if (this.#kept.length >= 2 * API_EVENTS_KEPT) this.#kept.splice(0, API_EVENTS_KEPT)
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }

  /**
   * A reader's place is taken now, not when it takes its first event: nothing that is published
   * after this call is missed.
   */
  read(after: number | undefined, signal: AbortSignal): AsyncIterable<NodeEvent> {
    return this.#follow(after ?? this.#serial, signal)
  }

  async *#follow(after: number, signal: AbortSignal): AsyncGenerator<NodeEvent> {
    let place = after
    while (!signal.aborted) {
      const oldest = this.#serial - this.#kept.length
      if (place < oldest || place > this.#serial) {
        place = place > this.#serial ? this.#serial : oldest
        yield { type: "resync", serial: place, atMs: this.#clock.now() }
        continue
      }
      const event = this.#kept[place - oldest]
      if (event === undefined) {
        await this.#change(signal)
        continue
      }
      place = event.serial
      yield event
    }
  }

  /** Resolves with the next event, or when the signal aborts. */
  async #change(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        signal.removeEventListener("abort", wake)
        this.#waiting.delete(wake)
        resolve()
      }
      signal.addEventListener("abort", wake)
      this.#waiting.add(wake)
    })
  }
}
