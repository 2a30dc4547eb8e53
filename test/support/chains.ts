/**
 * Long chains of final blocks, made without any node, and peers that serve them: honestly, or in
 * whatever way a test wants.
 */

import {
  encodeFinalBlock,
  encodeFinality,
  encodeHeader,
  type Block,
  type FinalBlock,
  type Header,
} from "../../ledger/block.ts"
import { assembleCertificate, type Certificate } from "../../ledger/certificate.ts"
import { buildBlock, checkBlock, genesisHead, type ChainHead } from "../../ledger/chain.ts"
import { createValidatorSet, type ValidatorSet } from "../../ledger/validators.ts"
import { signVote } from "../../ledger/vote.ts"
import { LedgerServer } from "../../node/consensus/server.ts"
import type { ProtocolSpec, RequestHandler, Transport } from "../../node/network/transport.ts"
import { BlockStore } from "../../node/store/blocks.ts"
import { Directory } from "../../protocol/directory.ts"
import { messageEntry, signBatch, type Batch } from "../../protocol/entry.ts"
import {
  decodeBlocksRequest,
  encodeBlob,
  encodeBlocksAnswer,
  encodeNumber,
  PROTOCOLS,
} from "../../protocol/wire.ts"
import { concatBytes } from "@noble/hashes/utils.js"
import { SimulatedDisk } from "./database.ts"
import type { LedgerWorld } from "./ledgers.ts"
import type { Ministry } from "./ministry.ts"
import { seededRandom } from "./rng.ts"

export interface MadeChain {
  readonly blocks: readonly FinalBlock[]
  /** The blocks, encoded. */
  readonly bytes: readonly Uint8Array[]
  readonly head: ChainHead
}

export interface ChainOptions {
  /** Entries of each block; one batch for up to 256, of the posts in turn. */
  readonly entries?: number
  /** Every so many blocks one is final through the closing blocks that follow it. */
  readonly linkedEvery?: number
  /** How many closing blocks that are. */
  readonly links?: number
  /** Batches of the block that comes onto a head, in place of the usual one. */
  readonly batches?: (head: ChainHead) => readonly Batch[] | undefined
}

/** A chain of a ministry's posts and its one validator. */
export function makeChain(
  ministry: Ministry,
  count: number,
  { entries = 1, linkedEvery = Infinity, links = 1, batches: special }: ChainOptions = {},
): MadeChain {
  const { suite, net } = ministry
  const { genesis } = new Directory(suite, ministry.genesisBytes)
  const validators = createValidatorSet(suite, 0, genesis.validators)
  const random = seededRandom(`chain of ${count}`)
  const blocks: FinalBlock[] = []
  let head = genesisHead(net)
  /** A block that is not final yet, and the closing ones on it. */
  let open: Block[] = []
  while (head.height < count) {
    const height = head.height + 1
    const usual = (): readonly Batch[] => [batchOf(ministry, head, entries, random)]
    const batches = open.length > 0 ? [] : (special?.(head) ?? usual())
    const block = buildBlock(suite, head, head.view + 1, batches, 1_750_000_000_000 + height)
    head = checkBlock(suite, head, block, (rid) => ministry.posts[rid - 1]?.submit.publicKey)
    const isOpen = open.length > 0 ? open.length < links : height % linkedEvery === 0
    open.push(block)
    if (isOpen && height < count) continue
    const certificate = certify(ministry, validators, head)
    for (const [at, one] of open.entries()) {
      const above = open.slice(at + 1).map(({ header }) => header)
      blocks.push({ block: one, certificate, links: above })
    }
    open = []
  }
  return { blocks, bytes: blocks.map(encodeFinalBlock), head }
}

/** The validators' certificate for a block that the head stands for. */
function certify(
  { net, validators: keys }: Ministry,
  validators: ValidatorSet,
  head: ChainHead,
): Certificate {
  const body = { kind: "finalize", epoch: 0, view: head.view, blockHash: head.hash } as const
  const votes = keys.map(({ consensus }, index) => signVote(net, body, index, consensus.sign))
  const certificate = assembleCertificate(votes, validators)
  if (certificate === undefined) throw new Error("one vote is no quorum of one")
  return certificate
}

function batchOf(
  ministry: Ministry,
  head: ChainHead,
  count: number,
  random: (length: number) => Uint8Array,
): Batch {
  const { posts, suite, net } = ministry
  const post = posts[head.height % posts.length]
  if (post === undefined) throw new Error("a ministry without posts")
  const first = (head.serials.get(post.rid) ?? 0) + 1
  const entries = Array.from({ length: count }, (_, at) => {
    return messageEntry(post.rid, first + at, 1_750_000_000_000, random(32))
  })
  return signBatch(suite, net, entries, post.submit.sign)
}

/** A header with what makes it final, as the answer to a request for the newest one. */
export function newestAnswer(final: FinalBlock, header: Header = final.block.header): Uint8Array {
  return encodeBlob(concatBytes(encodeFinality(final), encodeHeader(header)))
}

/** What a peer does with requests; the honest way where a test says nothing. */
export interface Manners {
  /** Height that it claims. */
  readonly claim?: number
  readonly newest?: () => Uint8Array | Promise<Uint8Array>
  readonly blocks?: (
    from: number,
    count: number,
  ) => readonly Uint8Array[] | Promise<readonly Uint8Array[]>
}

/** Answers requests from a chain; a test may change how. */
export function serveChain(
  chain: MadeChain,
  handle: (protocol: ProtocolSpec, handler: RequestHandler) => void,
  manners: Manners = {},
): void {
  const last = chain.blocks.at(-1)
  if (last === undefined) throw new Error("an empty chain")
  const honest = (from: number, count: number): readonly Uint8Array[] =>
    chain.bytes.slice(from - 1, from - 1 + count)
  const claim = encodeNumber(manners.claim ?? chain.head.height)
  handle(PROTOCOLS.height, async () => Promise.resolve(claim))
  handle(PROTOCOLS.newest, async () => Promise.resolve(manners.newest?.() ?? newestAnswer(last)))
  handle(PROTOCOLS.blocks, async (_, request) => {
    const { fromHeight, count } = decodeBlocksRequest(request)
    return encodeBlocksAnswer(await (manners.blocks ?? honest)(fromHeight, count))
  })
}

/** A peer that serves a chain, and what it was asked for. */
export class ServingPeer {
  readonly #transport: Transport
  /** First height and count of every request for blocks. */
  readonly asked: (readonly [from: number, count: number])[] = []
  newestAsked = 0
  /** Requests for blocks that were under way at one time, at most. */
  busyMost = 0
  #busy = 0

  constructor(world: LedgerWorld, index: number, chain: MadeChain, manners: Manners = {}) {
    this.#transport = world.network.transport(world.node(index).post.peer)
    const handle = (protocol: ProtocolSpec, handler: RequestHandler): void => {
      this.#transport.handle(protocol, async (peer, request, carrier) => {
        if (protocol.id === PROTOCOLS.newest.id) this.newestAsked += 1
        if (protocol.id !== PROTOCOLS.blocks.id) return handler(peer, request, carrier)
        const { fromHeight, count } = decodeBlocksRequest(request)
        this.asked.push([fromHeight, count])
        this.#busy += 1
        this.busyMost = Math.max(this.busyMost, this.#busy)
        try {
          return await handler(peer, request, carrier)
        } finally {
          this.#busy -= 1
        }
      })
    }
    serveChain(chain, handle, manners)
  }

  /** Starts to serve one post of the world. */
  async start(world: LedgerWorld, follower: number): Promise<void> {
    const { peer } = world.node(follower).post
    this.#transport.setMembers([{ peer, addresses: [], keep: true }])
    await this.#transport.start()
  }
}

/** A post that serves a chain to another one as a node does, entries without blocks included. */
export async function serveStored(
  world: LedgerWorld,
  index: number,
  chain: MadeChain,
  follower: number,
): Promise<void> {
  const { suite, net } = world.ministry
  const store = await BlockStore.open(new SimulatedDisk().open(), suite, net)
  await store.append(chain.blocks, chain.head)
  const server = new LedgerServer(store, () => undefined)
  const transport = world.network.transport(world.node(index).post.peer)
  const height = encodeNumber(chain.head.height)
  transport.handle(PROTOCOLS.height, async () => Promise.resolve(height))
  for (const name of ["newest", "holders", "bundle", "blocks"] as const) {
    transport.handle(PROTOCOLS[name], async (_, request) => server[name](request))
  }
  const { peer } = world.node(follower).post
  transport.setMembers([{ peer, addresses: [], keep: true }])
  await transport.start()
}
