/** Real hosts on loopback for tests: named parties, contact as promises, stopped after each test. */

import type { Connection, Libp2p } from "@libp2p/interface"
import type { Multiaddr } from "@multiformats/multiaddr"
import { createPrivateKey, createPublicKey } from "node:crypto"
import { systemClock, type Clock } from "../../node/clock.ts"
import { createHost, type Host, type NetworkLog } from "../../node/network/host.ts"
import type { Encryption } from "../../node/network/stack.ts"
import type { Lane, Member, PeerKey } from "../../node/network/transport.ts"

export const TCP = "/ip4/127.0.0.1/tcp/0"
export const WS = "/ip4/127.0.0.1/tcp/0/ws"

export interface Party {
  readonly seed: Uint8Array
  readonly key: PeerKey
}

/** A party by number: the same seed and key in every run. */
export function party(number: number): Party {
  const seed = new Uint8Array(32).fill(number)
  const prefix = Buffer.from("302e020100300506032b657004220420", "hex")
  const der = Buffer.concat([prefix, seed])
  const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" })
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" })
  return { seed, key: spki.subarray(-32).toString("hex") }
}

/** Keeps what a host reports. */
export class RecordingLog implements NetworkLog {
  readonly lines: string[] = []

  info(event: string, fields: object = {}): void {
    this.lines.push(`info ${event} ${JSON.stringify(fields)}`)
  }

  warn(event: string, fields: object = {}): void {
    this.lines.push(`warn ${event} ${JSON.stringify(fields)}`)
  }

  error(event: string, fields: object = {}): void {
    this.lines.push(`error ${event} ${JSON.stringify(fields)}`)
  }
}

export interface HostSetup {
  readonly listen?: readonly string[]
  readonly encryption?: Encryption
  readonly clock?: Clock
}

export function hostOf(who: Party, setup: HostSetup = {}, log = new RecordingLog()): Host {
  return createHost({
    transportSeed: who.seed,
    listen: setup.listen ?? [TCP],
    encryption: setup.encryption ?? "noise",
    clock: setup.clock ?? systemClock,
    log,
  })
}

export function member(who: Party, host?: Host, keep = true): Member {
  return { peer: who.key, addresses: host?.addresses() ?? [], keep }
}

/** Resolves when the host reports that state of contact; at once if the peer is up already. */
export function contact(host: Host, who: Party, state: "up" | "down" = "up"): Promise<void> {
  return new Promise((resolve) => {
    if ((state === "up") === host.connected().includes(who.key)) return resolve()
    const off = host.onContact((peer, now) => {
      if (peer !== who.key || now !== state) return
      off()
      resolve()
    })
  })
}

/**
 * A bare libp2p node with a party's key and without any of our rules: what an attacker, or a
 * member gone bad, would run. Dial with `raw.dial(address(host))`.
 */
export async function rawNode(who: Party, encryption: Encryption = "noise"): Promise<Libp2p> {
  const { createStack } = await import("../../node/network/stack.ts")
  const gater = { denyDialMultiaddr: () => false }
  const node = await createStack({ transportSeed: who.seed, listen: [], encryption, gater })
  await node.start()
  return node
}

/** The host's first address, parsed. */
export async function addressOf(host: Host): Promise<Multiaddr> {
  const { multiaddr } = await import("@multiformats/multiaddr")
  return multiaddr(host.addresses()[0] ?? "")
}

/** A connection of a bare node that has said hello for a lane and was welcomed. */
export async function rawAdmitted(node: Libp2p, host: Host, lane: Lane): Promise<Connection> {
  return rawGreeted(node, await addressOf(host), lane)
}

/** As {@link rawAdmitted}, by address. */
export async function rawGreeted(node: Libp2p, to: Multiaddr, lane: Lane): Promise<Connection> {
  const connection = await node.dial(to, { force: true })
  const stream = await connection.newStream("/tarbarta/hello/1")
  const welcomed = new Promise<void>((resolve, reject) => {
    stream.addEventListener("message", () => resolve(), { once: true })
    stream.addEventListener("close", () => reject(new Error("not welcomed")), { once: true })
  })
  stream.send(Uint8Array.of(1, lane === "urgent" ? 0 : 1, 0, 0, 0, 0, 0, 0))
  await welcomed
  return connection
}

/** Resolves when a stream or connection has ended, with the name of its error if it had one. */
export function closed(target: Closable): Promise<string> {
  return new Promise((resolve) => {
    if (target.status !== "open") return resolve(target.status)
    target.addEventListener("close", (event) => resolve(event.error?.name ?? "closed"))
  })
}

interface Closable {
  readonly status: string
  addEventListener(type: "close", listener: (event: Event & { error?: Error }) => void): void
}
