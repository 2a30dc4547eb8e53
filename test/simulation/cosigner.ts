/**
 * The cosigner beside a simulated validator (LEDGER §15.6). The product's rule judges the newest head
 * that is final and on the disk; what is signed is on the disk first, over crashes and lives.
 */

import { decodeTreeHead, encodeTreeHead, judgeHead, type TreeHead } from "../../ledger/cosigning.ts"
import type { Cluster } from "./cluster.ts"
import type { Machine } from "./machine.ts"

export class Cosigner {
  readonly #cluster: Cluster
  readonly #machine: Machine
  #signed: TreeHead | undefined
  /** On its way to the disk. */
  #writing: TreeHead | undefined

  constructor(cluster: Cluster, machine: Machine) {
    this.#cluster = cluster
    this.#machine = machine
  }

  start(): void {
    const row = this.#machine.disk.cosigned
    this.#signed = row === undefined ? undefined : decodeTreeHead(row)
    this.poke()
  }

  /** The power goes: what was being written may be there, and nobody was told. */
  cut(): void {
    if (this.#writing !== undefined && this.#cluster.random.chance(0.5)) this.#store(this.#writing)
    this.#writing = undefined
  }

  /** Final blocks are on the disk: the newest is signed, one at a time. */
  poke(): void {
    const { disk, stopped, life } = this.#machine
    const top = disk.store.at(-1)?.content
    if (top === undefined || stopped !== undefined || this.#writing !== undefined) return
    const head = { size: top.treeSize, root: top.treeRoot }
    const verdict = judgeHead(this.#signed, head)
    if (verdict === "pass") return
    if (verdict === "again") {
      this.#sign(head)
      return
    }
    this.#writing = head
    this.#cluster.schedule.after(this.#cluster.diskMs(), () => {
      if (this.#machine.life !== life) return
      this.#writing = undefined
      this.#store(head)
      this.#signed = head
      // Its key may have ended meanwhile.
      if (this.#machine.stopped !== undefined) return
      this.#sign(head)
      if (disk.store.at(-1)?.content !== top) this.poke()
    })
  }

  #store(head: TreeHead): void {
    this.#machine.disk.cosigned = encodeTreeHead(head)
  }

  #sign(head: TreeHead): void {
    this.#cluster.invariants.onCosign(this.#machine, head)
  }
}
