/**
 * Headquarters and one mission as two real nodes on loopback, for the benches that need them; they
 * start with the first of these and end with the run.
 */

import { readFileSync } from "node:fs"
import { ProcessNetwork, type ProcessPost } from "../support/processes.ts"

/** Linux counts a process's time in hundredths of a second, on every machine we know. */
const TICK_MS = 10

export class Stage {
  #network: Promise<ProcessNetwork> | undefined

  async network(): Promise<ProcessNetwork> {
    this.#network ??= ProcessNetwork.start(["DAC", "LON"])
    return this.#network
  }

  async close(): Promise<void> {
    const network = await this.#network?.catch(() => undefined)
    this.#network = undefined
    await network?.remove()
  }
}

/** CPU time of a post's process so far, in milliseconds; undefined where the system does not tell. */
export async function cpuMs(post: ProcessPost): Promise<number | undefined> {
  if (process.platform !== "linux") return undefined
  const { pid } = await post.client.status()
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  // The name in brackets may hold spaces; user and system time are the 14th and 15th field.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}
