/** The bugs of mutants.ts: what is replaced by what, and where it is looked for. */

/** A file, a text that occurs in it once, and what stands there instead. */
type Edit = readonly [file: string, from: string, to: string]

export interface Mutant {
  readonly name: string
  readonly edits: readonly Edit[]
  /** Mixes and sizes in which it must show. */
  readonly hunts: readonly (readonly [mix: string, count: number])[]
}

const VIEW = "ledger/view.ts"
const QUIESCENCE = "ledger/quiescence.ts"
const CONSENSUS = "ledger/consensus.ts"
const RESTORE = "ledger/restore.ts"
const ANCESTRY = "ledger/ancestry.ts"
const DELIVERY = "ledger/delivery.ts"
const TALLY = "ledger/tally.ts"
const VOTE = "ledger/vote.ts"
const CERTIFICATE = "ledger/certificate.ts"
const LOG_FORMAT = "node/store/wal-format.ts"
const COSIGNING = "ledger/cosigning.ts"
const COSIGNER = "test/simulation/cosigner.ts"
const MERKLE = "ledger/merkle.ts"
const VALIDATORS = "ledger/validators.ts"
const QUORUM = "Math.ceil((count + faultsOf(count) + 1) / 2)"

export const MUTANTS: readonly Mutant[] = [
  {
    name: "finalize after nullify",
    edits: [[VIEW, "if (isOpen && own.nullify === undefined) {", "if (isOpen) {"]],
    hunts: [["loss-30", 4]],
  },
  {
    name: "notarize vote leaves before it is on the disk",
    edits: [
      [VIEW, '{ type: "vote", vote },\n    after: seq,', '{ type: "vote", vote },\n    after: 0,'],
    ],
    hunts: [["clean", 4]],
  },
  {
    name: "nullify vote leaves before it is on the disk",
    edits: [
      [
        VIEW,
        '  state.resentMs = nowMs\n  state.out.push({ type: "send", message: { type: "vote", vote }, after: seq })',
        '  state.resentMs = nowMs\n  state.out.push({ type: "send", message: { type: "vote", vote }, after: 0 * seq })',
      ],
    ],
    hunts: [["dead", 4]],
  },
  {
    name: "own vote counts before it is on the disk",
    edits: [
      [
        VIEW,
        "  state.unsynced.set(seq, vote)\n",
        "  state.unsynced.set(seq, vote)\n  placeVote(state, vote)\n",
      ],
    ],
    hunts: [["clean", 4]],
  },
  {
    name: "log lost on restart",
    edits: [
      ["test/simulation/machine.ts", "certificate, records, nowMs)", "certificate, [], nowMs)"],
    ],
    hunts: [["crash", 4]],
  },
  {
    name: "log not synced",
    edits: [
      [
        "test/simulation/log.ts",
        "    this.#waiting = []\n    this.#writing = undefined\n    this.#make()\n",
        "    this.#waiting = []\n    this.#writing = undefined\n    this.records.length -= this.#unmade.splice(-3).flat().length\n    this.#make()\n",
      ],
    ],
    hunts: [["crash", 4]],
  },
  {
    name: "quorum one too low",
    edits: [[VALIDATORS, QUORUM, `${QUORUM} - 1`]],
    hunts: [["twins", 4]],
  },
  {
    name: "quorum 2f+1",
    edits: [[VALIDATORS, QUORUM, "2 * faultsOf(count) + 1"]],
    hunts: [["twins", 6]],
  },
  {
    name: "own votes not counted again",
    edits: [
      [QUIESCENCE, "    if (!isUnsynced(state, vote)) onVote(state, vote, nowMs)\n", ""],
      [
        RESTORE,
        '      state.out.push({ type: "send", message: { type: "vote", vote }, after: 0 })\n      onVote(state, vote, nowMs)',
        '      state.out.push({ type: "send", message: { type: "vote", vote }, after: 0 })',
      ],
    ],
    hunts: [["all-crash-dead", 4]],
  },
  {
    name: "views between not checked to be void",
    edits: [
      [ANCESTRY, '    if (!isNullified(state, at)) return { type: "missing", fromView: at }\n', ""],
      [ANCESTRY, "    if (!isNullified(state, at)) missing = at\n", ""],
    ],
    hunts: [["skipper", 4]],
  },
  {
    name: "second proposal accepted",
    edits: [
      [
        VIEW,
        "  if (view.proposal !== undefined) return\n  view.proposal = hash",
        "  view.proposal = hash",
      ],
      // Behind this guard a liar has two proposals of a view at most; both hold the bound.
      [CONSENSUS, "  if (placed !== undefined && isAccused(known, from)) return false\n", ""],
    ],
    hunts: [["flooder", 4]],
  },
  {
    name: "votes again after a restart",
    edits: [[RESTORE, "  own[kind] = vote\n", ""]],
    hunts: [["crash", 4]],
  },
  {
    name: "unfinal tip does not arm",
    edits: [
      [QUIESCENCE, "isTipLate(state, nowMs) || state.config.hasWork", "state.config.hasWork"],
    ],
    hunts: [["quiet-50", 4]],
  },
  {
    name: "unfinal tip arms at once",
    edits: [
      [
        QUIESCENCE,
        "isTipUnfinal(state) && nowMs >= state.tipMs + TIP_DELTAS * state.config.deltaMs",
        "isTipUnfinal(state) && nowMs >= state.tipMs",
      ],
    ],
    hunts: [["quiet-clean", 4]],
  },
  {
    name: "never disarmed",
    edits: [
      [
        QUIESCENCE,
        "  if (!isArmed) state.armedMs = undefined\n  else state.armedMs ??= nowMs",
        "  if (isArmed) state.armedMs ??= nowMs",
      ],
    ],
    hunts: [["quiet-clean", 4]],
  },
  {
    name: "laggards not helped",
    edits: [
      [
        CONSENSUS,
        "if (certificate === undefined || finalView >= view) return",
        "if (certificate !== undefined || finalView >= view) return",
      ],
    ],
    hunts: [
      ["quiet-50", 4],
      ["partition", 4],
    ],
  },
  {
    name: "no entry certificate with retries",
    edits: [
      [
        QUIESCENCE,
        "  if (entry !== undefined) send(",
        "  if (entry !== undefined && entry.view < 0) send(",
      ],
    ],
    hunts: [
      ["partition", 4],
      ["quiet-50", 4],
    ],
  },
  {
    name: "vote of another epoch accepted",
    edits: [
      [
        CONSENSUS,
        "vote.epoch !== validators.epoch || vote.signer !== from",
        "vote.signer !== from",
      ],
      [VOTE, "if (vote.epoch !== validators.epoch) {", "if (vote.epoch < validators.epoch) {"],
    ],
    hunts: [["reconfigurer", 4]],
  },
  {
    name: "signature not checked",
    edits: [[VOTE, "!suite.ed25519Verify(", "vote.view < 0 && !suite.ed25519Verify("]],
    hunts: [["forger", 4]],
  },
  {
    name: "certificate below the quorum accepted",
    edits: [[CERTIFICATE, "if (count < validators.quorum) {", "if (count < 1) {"]],
    hunts: [["forger", 4]],
  },
  {
    name: "votes for different blocks counted together",
    edits: [
      [
        TALLY,
        "vote !== undefined && equalBytes(vote.blockHash, like.blockHash)",
        "vote !== undefined",
      ],
    ],
    hunts: [["equivocator", 4]],
  },
  {
    name: "contradictions not told",
    edits: [
      [
        TALLY,
        '    state.out.push({ type: "evidence", evidence: evidenceOf(other, vote) })\n',
        "    void evidenceOf\n",
      ],
    ],
    hunts: [["equivocator", 4]],
  },
  {
    name: "delivered from the top down",
    edits: [[DELIVERY, "blocks.unshift({", "blocks.push({"]],
    hunts: [["loss-30", 4]],
  },
  {
    name: "certificates not passed on",
    edits: [
      [
        VIEW,
        '  const message = { type: "certificate", certificate } as const\n',
        '  const message = { type: "certificate", certificate } as const\n  if (certificate.view > 0) return\n',
      ],
    ],
    hunts: [["clean", 4]],
  },
  {
    name: "leaders are not waited for",
    edits: [[QUIESCENCE, "  if (!isSilent(leader)) return false\n", "  void leader\n"]],
    hunts: [["clean", 4]],
  },
  {
    name: "silent leaders are waited for",
    edits: [
      [
        QUIESCENCE,
        "  if (nowMs < endOfView(state, state.armedMs)) return\n  nullify(state, nowMs)\n",
        "  if (nowMs < endOfView(state, state.armedMs)) return\n",
      ],
    ],
    hunts: [["dead", 4]],
  },
  {
    name: "no closing blocks",
    edits: [
      [VIEW, "if (isClosing && parent.view <= state.final.view) return", "if (isClosing) return"],
    ],
    hunts: [["loss-30", 4]],
  },
  {
    name: "closing blocks for ever",
    edits: [
      [VIEW, "if (isClosing && parent.view <= state.final.view) return", ""],
      [
        QUIESCENCE,
        "  if (!isArmed) state.armedMs = undefined\n  else state.armedMs ??= nowMs",
        "  if (isArmed) state.armedMs ??= nowMs",
      ],
    ],
    hunts: [["quiet-clean", 4]],
  },
  {
    name: "what waits is not passed on",
    edits: [
      [QUIESCENCE, '    if (own.nullify !== undefined) state.out.push({ type: "resubmit" })\n', ""],
      [
        QUIESCENCE,
        '  nullify(state, nowMs)\n  // Q3: the leader may be silent because it lacks what waits here.\n  state.out.push({ type: "resubmit" })\n',
        "  nullify(state, nowMs)\n",
      ],
    ],
    hunts: [
      ["quiet-50", 4],
      ["dead-most", 4],
    ],
  },
  {
    name: "final blocks that others have stored are asked for ever",
    edits: [[ANCESTRY, "isRetry && isFinalMissing(state)", "isRetry && !isFinalMissing(state)"]],
    hunts: [["flapping", 4]],
  },
  {
    name: "a block that waits hides what is missing below it",
    edits: [
      [
        VIEW,
        "  if (certificate !== undefined) wantAncestor(state, certificate)\n",
        "  void [certificate, wantAncestor]\n",
      ],
      [
        DELIVERY,
        '    if (held.status === "waiting" || held.status === "checking") isJudged = false',
        '    if (held.status === "waiting" || held.status === "checking") return isJudged ? undefined : chain',
      ],
    ],
    hunts: [
      ["flapping", 4],
      ["partition", 4],
    ],
  },
  {
    name: "no heartbeat",
    edits: [[QUIESCENCE, "if (nowMs >= state.heartbeatMs + HEARTBEAT_MS) {", "if (nowMs < 0) {"]],
    hunts: [["quiet-away", 4]],
  },
  {
    name: "invalid blocks voted for",
    edits: [
      [
        VIEW,
        'held.status === "invalid" || held.status === "untimely"',
        'held.status === "untimely"',
      ],
      [
        VIEW,
        'if (held.status === "valid") castNotarize',
        'if (held.status === "valid" || held.status === "invalid") castNotarize',
      ],
    ],
    hunts: [["invalid", 4]],
  },
  {
    name: "damage passes for a torn end",
    edits: [
      [
        LOG_FORMAT,
        "if (hasMarkAfter(bytes, walId, end + 1))",
        "if (hasMarkAfter(bytes, walId, bytes.length))",
      ],
    ],
    hunts: [["rot", 4]],
  },
  {
    name: "a torn end passes for damage",
    edits: [
      [
        LOG_FORMAT,
        "if (at >= from && markAt(bytes, walId, at) !== undefined) return true",
        "if (at + 1 >= from && markAt(bytes, walId, at) !== undefined) return true",
      ],
    ],
    hunts: [["crash", 4]],
  },
  {
    name: "checksum of a record not looked at",
    edits: [
      [
        LOG_FORMAT,
        "  if (view.getUint32(4) !== crc32c(bytes.subarray(at + 8, end), lengthCrc)) return undefined\n",
        "  void lengthCrc\n",
      ],
    ],
    hunts: [["rot", 4]],
  },
  {
    name: "a torn append kept in part",
    edits: [
      [
        LOG_FORMAT,
        "    if (record === undefined || record.kind === WAL_MARK) return undefined\n",
        "    if (record === undefined) return { bootCounter: mark.bootCounter, records, end: next }\n",
      ],
    ],
    hunts: [["crash", 4]],
  },
  {
    name: "the edge of the tree forgets a left sibling",
    edits: [[MERKLE, "left === undefined ? nodes : concatBytes(left, nodes)", "nodes"]],
    hunts: [["clean", 4]],
  },
  {
    name: "cosigns before the block is final",
    edits: [
      [
        COSIGNER,
        "const top = disk.store.at(-1)?.content\n",
        "const { hash } = this.#machine.state?.certified ?? this.#cluster.contents.start\n    const top = this.#cluster.contents.of(hash)\n",
      ],
    ],
    hunts: [["clean", 4]],
  },
  {
    name: "cosigns before that is on the disk",
    edits: [
      [COSIGNER, "    this.#writing = head\n", "    this.#writing = head\n    this.#sign(head)\n"],
    ],
    hunts: [["clean", 4]],
  },
  {
    name: "cosigns a smaller size after a restart",
    edits: [
      [COSIGNING, "(signed !== undefined && head.size < signed.size)", "head.size < 0"],
      [
        COSIGNING,
        "signed === undefined || head.size > signed.size",
        "signed === undefined || head.size !== signed.size",
      ],
    ],
    hunts: [["rebuilt", 4]],
  },
  {
    name: "forgets over a restart what it cosigned",
    edits: [
      [
        COSIGNER,
        "this.#signed = row === undefined ? undefined : decodeTreeHead(row)",
        "void [row, decodeTreeHead]\n    this.#signed = undefined",
      ],
    ],
    hunts: [["rebuilt", 4]],
  },
]
