import { describe, expect, it } from "vitest"
import { decodeCable, encodeCable } from "../../protocol/cable.ts"
import { decodeCopy, encodeCopy } from "../../protocol/copy.ts"
import { decodeCore, encodeCore } from "../../protocol/core.ts"
import { decodeHeader } from "../../protocol/header.ts"
import { decodeSignal, encodeSignal } from "../../protocol/hotline.ts"
import { decodeInner, encodeInner } from "../../protocol/inner.ts"
import { openCopy } from "../../protocol/open.ts"
import {
  buildReceipts,
  decodeReceipts,
  decodeStatement,
  splitFor,
} from "../../protocol/receipt-batch.ts"
import {
  decodeReceipt,
  encodeReceipt,
  NO_PRIOR_RECEIPT,
  type Receipt,
} from "../../protocol/receipt.ts"
import { decodeRelease, draftRelease, releaseStatement } from "../../protocol/release.ts"
import { NOON_MS, sampleCable, sampleSignal } from "../support/contents.ts"
import { copyOf, sealCable, World } from "../support/posts.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const world = new World(suite, "cross-label")
const { dhaka, lisbon } = world
const sealed = sealCable(world, { from: lisbon, to: [dhaka] })
const copy = copyOf(sealed, dhaka)
const opened = openCopy(suite, copy, world.lookups(dhaka))
const receipt: Receipt = {
  net: world.net,
  cableId: sealed.cableId,
  issuer: dhaka.rid,
  stage: "stored",
  reason: "none",
  atMs: NOON_MS,
  priorHash: NO_PRIOR_RECEIPT,
  officer: undefined,
}
const batch = buildReceipts(suite, {
  net: world.net,
  issuer: dhaka.rid,
  incarnation: 0,
  createdMs: NOON_MS,
  receipts: [receipt],
  signerKid: dhaka.kid,
  sign: dhaka.sign,
})
const draft = draftRelease("secret", world.random)
const facts = { ...sealed.core, recipients: opened.inner.recipients, content: Uint8Array.of(1) }

/** Every kind of object with a valid one, and the reader that must take it alone. */
const OBJECTS: [string, Uint8Array, (bytes: Uint8Array) => unknown][] = [
  ["core", encodeCore(sealed.core), decodeCore],
  ["header", sealed.header, (bytes) => decodeHeader(suite, bytes)],
  ["inner", encodeInner(opened.inner), (bytes) => decodeInner(bytes, "cable")],
  ["copy", encodeCopy(copy), decodeCopy],
  ["cable content", encodeCable(sampleCable()), decodeCable],
  ["signal content", encodeSignal(sampleSignal()), decodeSignal],
  ["release record", opened.inner.release, decodeRelease],
  ["receipt", encodeReceipt(receipt), decodeReceipt],
  ["receipts statement", batch.statement, decodeStatement],
  ["receipts batch", splitFor(batch, [0]), decodeReceipts],
]

// Signed but never read: a statement is made anew by whoever checks it.
const STATEMENT = releaseStatement(suite, draft, facts, "drafter")

describe("every reader", () => {
  it.each(OBJECTS)("of a %s takes its own objects and refuses every other", (name, own, read) => {
    expect(refusal(() => read(own))).toBeUndefined()
    expect(refusal(() => read(STATEMENT))).toMatch(/^CODEC_/)
    for (const [other, bytes] of OBJECTS.filter(([other]) => other !== name)) {
      expect(
        refusal(() => read(bytes)),
        other,
      ).toMatch(/^CODEC_/)
    }
  })
})
