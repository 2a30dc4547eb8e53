import { describe, expect, it } from "vitest"
import { signCheckpoint, type VerifiedCheckpoint } from "../../../ledger/cosignature.ts"
import { decodeTreeHead, type TreeHead } from "../../../ledger/cosigning.ts"
import { frontierRoot } from "../../../ledger/merkle.ts"
import { parseNote, type NoteKey } from "../../../ledger/note.ts"
import { policyKeys, validatorKeys, verifyAgainst } from "../../../ledger/policy.ts"
import { createValidatorSet } from "../../../ledger/validators.ts"
import { Cosigners } from "../../../node/consensus/cosigners.ts"
import { Witness } from "../../../node/consensus/witness.ts"
import { NodeError } from "../../../node/errors.ts"
import { BlockStore } from "../../../node/store/blocks.ts"
import { Directory } from "../../../protocol/directory.ts"
import { RETRY_MAX_MS } from "../../../protocol/limits.ts"
import { createVirtualClock } from "../../support/clock.ts"
import { SimulatedDisk, type SimulatedDatabase } from "../../support/database.ts"
import { batch, CHAIN_ID, chainOf, named, NAIROBI } from "../../support/ledger.ts"
import { createMinistry } from "../../support/ministry.ts"
import { suite } from "../../support/suites.ts"

const HOUR_MS = 3_600_000
const SIGNED_ROW = "ledger/cosigned/witness"
const ministry = createMinistry(5, "witness", { validators: 4 })
const validators = ministry.validators.map(({ rid }) => ministry.posts[rid - 1]?.peer ?? "")
/** Sizes 5, 205, 206, 207 at heights 1 … 4. */
const chain = chainOf([
  [batch(NAIROBI, 1, 5)],
  [batch(NAIROBI, 6, 200)],
  [batch(NAIROBI, 206, 1)],
  [batch(NAIROBI, 207, 1)],
])
const heads = [...chain.heads.slice(1), chain.head]

type Use = "log" | "cosigner" | "cosignerPq"

/** What the chain has at a height. */
function headAt(height: number): TreeHead {
  const frontier = heads[height - 1]?.frontier
  if (frontier === undefined) throw new Error(`no block ${height}`)
  return { size: frontier.size, root: frontierRoot(frontier) }
}

/** What a checkpoint has that these validators signed with these keys; default a log, a quorum. */
function signedBy(
  cosigners: Cosigners,
  head: TreeHead,
  uses: readonly (readonly Use[])[] = [["log", "cosigner"], ["cosigner"], ["cosigner"]],
): VerifiedCheckpoint {
  const checkpoint = { origin: cosigners.origin, ...head }
  const signed = uses.flatMap((own, index) => {
    const keys = ministry.validators[index]
    const facts = cosigners.validators()[index]
    if (keys === undefined || facts === undefined) throw new Error(`no validator ${index}`)
    const names = validatorKeys(cosigners.origin, facts)
    return own.map((use) => {
      const signature = signCheckpoint(suite, names[use], checkpoint, 1, keys[use].sign)
      return { key: names[use], signature, timeS: use === "log" ? undefined : 1 }
    })
  })
  return { checkpoint, signed }
}

interface Signed {
  readonly size: number
  /** Size on the disk when the key was used. */
  readonly durable: number | undefined
}

/** A mission's machine; validators are what the test makes of their answers. */
class Machine {
  readonly clock = createVirtualClock()
  readonly disk = new SimulatedDisk({ clock: this.clock, syncMs: 1 })
  /** What each validator has for this hour. */
  readonly answers = new Map<string, () => Promise<VerifiedCheckpoint | undefined>>()
  readonly asked: string[] = []
  readonly unreachable = new Set<string>()
  readonly sent: { readonly peer: string; readonly text: string }[] = []
  /** Every use of the Ed25519 key, in all lives. */
  readonly signatures: Signed[] = []
  readonly forks: string[] = []
  readonly failures: unknown[] = []
  readonly warnings: string[] = []
  isAdmitted = true
  #life: { witness: Witness; cosigners: Cosigners; store: BlockStore; db: SimulatedDatabase } | null

  constructor() {
    this.#life = null
  }

  get life() {
    if (this.#life === null) throw new Error("it is down")
    return this.#life
  }

  /** A new life, with blocks up to `height`. */
  async start(height: number): Promise<void> {
    const db = this.disk.open()
    const directory = new Directory(suite, ministry.genesisBytes)
    const opening = BlockStore.open(db, suite, CHAIN_ID)
    await this.clock.runFor(10)
    const store = await opening
    const set = createValidatorSet(suite, 0, directory.genesis.validators)
    const cosigners = new Cosigners({ suite, directory, store, validators: () => set })
    const witness = this.#witness(db, store, cosigners)
    this.#life = { witness, cosigners, store, db }
    await this.extend(height)
    const starting = witness.start()
    await this.clock.runFor(10)
    await starting
  }

  #witness(database: SimulatedDatabase, store: BlockStore, cosigners: Cosigners): Witness {
    const { clock } = this
    const post = ministry.posts[4]
    if (post === undefined) throw new Error("no mission")
    const { cosigner, cosignerPq } = ministry.checkpointKeys(post).witness
    return new Witness({
      suite,
      database,
      store,
      clock,
      cosigners,
      log: { warn: (event) => this.warnings.push(event) },
      keys: {
        cosigner: (message) => {
          const size = Number(new TextDecoder().decode(message).split("\n")[3])
          this.signatures.push({ size, durable: this.durable() })
          return cosigner(message)
        },
        cosignerPq,
      },
      facts: () => (this.isAdmitted ? cosigners.mission(post.rid) : undefined),
      validators: () => validators,
      ask: async (peer) => {
        this.asked.push(peer)
        return this.answers.get(peer)?.()
      },
      send: async (peer, text) => {
        if (this.unreachable.has(peer)) throw new NodeError("PEER_UNREACHABLE", "out of reach")
        this.sent.push({ peer, text })
        return Promise.resolve()
      },
      onFork: (error) => this.forks.push(error.code),
      onFatal: (error) => this.failures.push(error),
    })
  }

  /** Blocks up to `height` become final here. */
  async extend(height: number): Promise<void> {
    const { store, witness } = this.life
    for (let next = store.head.height + 1; next <= height; next++) {
      const [final, head] = [chain.blocks[next - 1], heads[next - 1]]
      if (final === undefined || head === undefined) throw new Error(`no block ${next}`)
      const stored = store.append([final], head)
      await this.clock.runFor(10)
      await stored
      witness.poke()
    }
  }

  /** From now on all validators have this checkpoint. */
  offer(head: TreeHead, uses?: readonly (readonly Use[])[]): void {
    const found = signedBy(this.life.cosigners, head, uses)
    for (const peer of validators) this.answers.set(peer, async () => Promise.resolve(found))
  }

  /** The power fails; what is on its way to the disk is lost or kept. */
  crash(inFlight: "lost" | "kept" = "lost"): void {
    this.life.witness.stop()
    this.disk.crash(inFlight)
    this.#life = null
  }

  /** The size that stands on the disk as signed. */
  durable(): number | undefined {
    const row = this.disk.snapshot().get(SIGNED_ROW)
    return row && decodeTreeHead(row).size
  }

  sizes(): number[] {
    return this.signatures.map(({ size }) => size)
  }

  /** To a minute after the next full hour. */
  async nextHour(): Promise<void> {
    await this.clock.runFor(HOUR_MS - (this.clock.now() % HOUR_MS) + 60_000)
  }
}

async function running(height: number): Promise<Machine> {
  const machine = new Machine()
  await machine.start(height)
  return machine
}

describe("a mission does not witness a checkpoint", () => {
  it("whose root its own tree does not have: it stops, loudly, and signs nothing more", async () => {
    const machine = await running(1)
    machine.offer({ size: 5, root: named("another root") })
    await machine.nextHour()
    expect([machine.signatures, machine.sent, machine.durable()]).toEqual([[], [], undefined])
    expect([machine.forks, machine.failures]).toEqual([["CHECKPOINT_FORK"], []])
    await machine.extend(2)
    machine.offer(headAt(2))
    await machine.nextHour()
    expect(machine.signatures).toEqual([])
    expect(machine.clock.pending).toBe(0)
  })

  it("that is larger than its own tree, until that has grown to it and has the same root", async () => {
    const machine = await running(1)
    machine.offer(headAt(2))
    await machine.nextHour()
    expect([machine.signatures, machine.durable()]).toEqual([[], undefined])
    await machine.extend(2)
    await machine.clock.runFor(RETRY_MAX_MS)
    expect(machine.sizes()).toEqual([205])
    expect(machine.forks).toEqual([])
  })

  it("that fewer validators than the quorum have signed, however many keys they used", async () => {
    const few: (readonly Use[])[][] = [
      [["log", "cosigner"], ["cosigner"]],
      [["log", "cosigner", "cosignerPq"], ["log", "cosigner", "cosignerPq"], ["cosignerPq"]],
      [["log"], ["log"], ["log"], ["log"]],
      [["cosigner"], ["cosigner"], ["cosigner"], ["cosigner"]],
      [],
    ]
    for (const uses of few) {
      const machine = await running(1)
      machine.offer(headAt(1), uses)
      await machine.nextHour()
      expect([machine.signatures, machine.sent, machine.durable()]).toEqual([[], [], undefined])
      // A lie that too few have signed is no fork either.
      machine.offer({ size: 5, root: named("another root") }, uses)
      await machine.clock.runFor(RETRY_MAX_MS)
      expect(machine.forks).toEqual([])
      machine.offer(headAt(1))
      await machine.clock.runFor(RETRY_MAX_MS)
      expect(machine.sizes()).toEqual([5])
    }
  })

  it("before it is admitted", async () => {
    const machine = await running(1)
    machine.isAdmitted = false
    machine.offer(headAt(1))
    await machine.nextHour()
    expect([machine.signatures, machine.sent]).toEqual([[], []])
  })
})

describe("what a mission witnessed is on its disk before it signs", () => {
  it("so a power cut leaves no signature without its row", async () => {
    for (const inFlight of ["lost", "kept"] as const) {
      const machine = await running(1)
      machine.offer(headAt(1))
      machine.disk.onSync = () => {
        machine.disk.onSync = undefined
        machine.crash(inFlight)
      }
      await machine.nextHour()
      expect([machine.signatures, machine.sent]).toEqual([[], []])
      expect(machine.durable()).toBe(inFlight === "kept" ? 5 : undefined)
    }
  })

  it("at every size, also while the disk is slow or below its floor", async () => {
    const machine = await running(1)
    machine.disk.syncMs = 5_000
    machine.offer(headAt(1))
    await machine.nextHour()
    machine.disk.syncMs = 1
    await machine.extend(2)
    machine.disk.isFull = true
    machine.offer(headAt(2))
    await machine.nextHour()
    expect(machine.signatures).toEqual([
      { size: 5, durable: 5 },
      { size: 205, durable: 205 },
    ])
    expect(machine.failures).toEqual([])
  })

  it("so after a power cut it does not sign a smaller tree", async () => {
    const machine = await running(3)
    machine.offer(headAt(2))
    await machine.nextHour()
    expect(machine.sizes()).toEqual([205])
    machine.crash()
    await machine.start(4)
    machine.offer(headAt(1))
    await machine.nextHour()
    machine.offer(headAt(2))
    await machine.nextHour()
    // The same size once more: before the power cut its lines may have reached nobody.
    expect([machine.sizes(), machine.durable()]).toEqual([[205, 205], 205])
    machine.offer(headAt(3))
    await machine.nextHour()
    expect(machine.sizes()).toEqual([205, 205, 206])
    expect(machine.forks).toEqual([])
  })

  it("so after a power cut it does not sign another tree of that size", async () => {
    const machine = await running(3)
    machine.offer(headAt(2))
    await machine.nextHour()
    machine.crash()
    await machine.start(4)
    machine.offer({ size: 205, root: named("another root") })
    await machine.nextHour()
    expect(machine.sizes()).toEqual([205])
    expect(machine.forks).toEqual(["CHECKPOINT_FORK"])
  })

  it("and a disk that fails ends the node, not the witness alone", async () => {
    const machine = await running(1)
    machine.offer(headAt(1))
    machine.life.db.failNextWrite()
    await machine.nextHour()
    expect([machine.signatures, machine.sent, machine.forks]).toEqual([[], [], []])
    expect(machine.failures).toMatchObject([{ code: "STORE_FAILED" }])
    expect(machine.clock.pending).toBe(0)
  })
})

/** The validators whose keys stand under a text, by what they signed with. */
function linesOf(machine: Machine, text: string): string[] {
  const { cosigners } = machine.life
  verifyAgainst(suite, cosigners.validatorPolicy(), text)
  const known = new Map<string, NoteKey>()
  for (const key of policyKeys(cosigners.missionPolicy())) known.set(`${key.name} ${key.type}`, key)
  const { signed } = cosigners.read(text)
  expect(signed).toHaveLength(parseNote(text).signatures.length)
  return signed.map(({ key }) => `${key.type} ${key.name.replace(/^test\//u, "")}`)
}

describe("what a mission sends of what it witnessed", () => {
  it("is certified by itself: one log line, a quorum, and its own two lines", async () => {
    const machine = await running(1)
    const all: readonly Use[] = ["log", "cosigner", "cosignerPq"]
    machine.offer(headAt(1), [all, all, all, all])
    await machine.nextHour()
    expect(machine.sent.map(({ peer }) => peer)).toEqual(validators)
    for (const { text } of machine.sent) {
      expect(linesOf(machine, text)).toEqual([
        "log witness",
        "cosigner DAC",
        "cosigner DEL",
        "cosigner LON",
        "cosigner witness/RUH",
        "cosignerPq witness/RUH",
      ])
    }
  })

  it("reaches a validator that was out of reach when it is back, and nobody twice", async () => {
    const machine = await running(1)
    const [first = "", second = ""] = validators
    machine.offer(headAt(1))
    machine.unreachable.add(second)
    await machine.nextHour()
    expect(machine.sent.map(({ peer }) => peer)).toEqual(validators.filter((one) => one !== second))
    expect(machine.warnings).toEqual(["PEER_UNREACHABLE"])
    machine.sent.length = 0
    machine.unreachable.clear()
    for (const peer of [first, second, second]) {
      machine.life.witness.contact(peer)
      await machine.clock.runFor(1_000)
    }
    expect(machine.sent.map(({ peer }) => peer)).toEqual([second])
    expect(machine.failures).toEqual([])
  })
})

describe("when a mission asks", () => {
  it("is once an hour, another validator first each time, and not while there is no news", async () => {
    const machine = await running(1)
    machine.life.witness.poke()
    expect(machine.clock.pending).toBe(1)
    const firsts: string[] = []
    for (const height of [1, 2, 3, 4]) {
      await machine.extend(height)
      machine.offer(headAt(height))
      await machine.clock.runFor(HOUR_MS - (machine.clock.now() % HOUR_MS) - 1)
      expect(machine.asked).toEqual([])
      await machine.clock.runFor(60_001)
      firsts.push(...machine.asked.splice(0))
    }
    expect(machine.sizes()).toEqual([5, 205, 206, 207])
    expect(firsts.toSorted()).toEqual(validators.toSorted())
    await machine.clock.runFor(24 * HOUR_MS)
    machine.life.witness.poke()
    expect([machine.asked, machine.clock.pending]).toEqual([[], 0])
  })

  it("goes on to the next validator where one refuses, and ends for nothing but a fault of ours", async () => {
    const machine = await running(1)
    machine.offer(headAt(1))
    for (const peer of validators.slice(0, 3)) {
      machine.answers.set(peer, async () =>
        Promise.reject(new NodeError("PEER_UNREACHABLE", "out of reach")),
      )
    }
    await machine.nextHour()
    expect(machine.sizes()).toEqual([5])
    expect(new Set(machine.warnings)).toEqual(new Set(["PEER_UNREACHABLE"]))
    await machine.extend(2)
    for (const peer of validators) {
      machine.answers.set(peer, async () => Promise.reject(new TypeError("a bug")))
    }
    await machine.nextHour()
    expect(machine.failures).toMatchObject([{ message: "a bug" }])
  })

  it("is again in the same hour unless so many have nothing new that one of them is honest", async () => {
    for (const count of [1, 2]) {
      const machine = await running(1)
      machine.offer(headAt(1))
      await machine.nextHour()
      await machine.extend(2)
      // So many still have what was signed, the others do not answer.
      for (const peer of validators.slice(count)) machine.answers.delete(peer)
      machine.asked.length = 0
      await machine.nextHour()
      expect(machine.asked).toHaveLength(4)
      await machine.clock.runFor(RETRY_MAX_MS)
      // Of four validators one may lie: two of them hold the truth between them.
      expect(machine.asked).toHaveLength(count === 2 ? 4 : 8)
      machine.offer(headAt(2))
      await machine.nextHour()
      expect(machine.sizes()).toEqual([5, 205])
    }
  })

  it("is not a second time while an answer is out, and not after its end", async () => {
    const machine = await running(1)
    const { witness, cosigners } = machine.life
    const found = signedBy(cosigners, headAt(1))
    const slow = async (): Promise<VerifiedCheckpoint> => {
      await new Promise<void>((resolve) => {
        machine.clock.after(2 * HOUR_MS, resolve)
      })
      return found
    }
    for (const peer of validators) machine.answers.set(peer, slow)
    await machine.nextHour()
    await machine.extend(2)
    await machine.nextHour()
    expect(machine.asked).toHaveLength(1)
    witness.stop()
    await machine.clock.runFor(4 * HOUR_MS)
    witness.poke()
    expect([machine.signatures, machine.sent, machine.failures]).toEqual([[], [], []])
    expect([machine.asked.length, machine.clock.pending]).toEqual([1, 0])
  })

  it("ends without a word when its node stops between two hours", async () => {
    const machine = await running(1)
    machine.offer(headAt(1))
    machine.life.witness.stop()
    expect(machine.clock.pending).toBe(0)
    await machine.nextHour()
    expect(machine.asked).toEqual([])
  })

  it("ends without a word when its node stops while the disk writes, whatever comes of that", async () => {
    const machine = await running(1)
    machine.offer(headAt(1))
    machine.life.db.failNextWrite()
    machine.disk.syncMs = 5_000
    machine.disk.onSync = () => machine.life.witness.stop()
    await machine.nextHour()
    expect([machine.signatures, machine.sent, machine.failures]).toEqual([[], [], []])
  })
})
