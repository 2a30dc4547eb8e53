/** A small question and its answer over our transport, against the same over bare TCP. */

import { contact, hostOf, party } from "../support/hosts.ts"
import { interleave, quantile, ratioOf, spreadOf, type Figure, type Progress } from "./figures.ts"
import { ECHO, RawTcp } from "./raw-tcp.ts"

const ROUNDS = 11
const TRIPS = 400
const MESSAGE_BYTES = 200

export async function benchRoundtrip(progress: Progress): Promise<Figure[]> {
  const raw = await RawTcp.start()
  const host = hostOf(party(1), { listen: [] })
  try {
    const other = party(2)
    await host.start()
    host.setMembers([{ peer: other.key, addresses: raw.addresses, keep: true }])
    await contact(host, other)
    const message = new Uint8Array(MESSAGE_BYTES)
    const tails: Record<"ours" | "tcp", number[]> = { ours: [], tcp: [] }
    // Median and tail come from the same trips; the first round is a warm-up.
    const measure = async (name: "ours" | "tcp", trip: () => Promise<number>): Promise<number> => {
      const times: number[] = []
      for (let index = 0; index < TRIPS; index++) times.push(await trip())
      tails[name].push(quantile(times, 0.99))
      return quantile(times, 0.5)
    }
    const found = await interleave(
      ROUNDS,
      {
        tcp: () => measure("tcp", async () => raw.roundTrip(message)),
        ours: () =>
          measure("ours", async () => {
            const startedMs = performance.now()
            await host.request(other.key, ECHO, message)
            return performance.now() - startedMs
          }),
      },
      progress,
    )
    const [ours, tcp] = [tails.ours.slice(1), tails.tcp.slice(1)]
    return [figure("p50", found.ours, found.tcp), figure("p99", ours, tcp)]
  } finally {
    await host.stop()
    await raw.stop()
  }
}

function figure(name: string, ours: readonly number[], tcp: readonly number[]): Figure {
  return {
    name: `${MESSAGE_BYTES} B there and back, urgent lane, ${name}`,
    unit: "ms",
    measured: spreadOf(ours),
    against: { name: "bare TCP", value: spreadOf(tcp) },
    ratio: ratioOf(ours, tcp),
  }
}
