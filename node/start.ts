/**
 * From a home directory to a running node: opens what is on the disk in order, makes the real world
 * for node.ts, and closes it again however the node ends.
 */

import { randomFillSync } from "node:crypto"
import { join } from "node:path"
import { LABELS, labelBytes } from "../protocol/labels.ts"
import { AEAD_KEY_BYTES, BOOT_NONCE_BYTES } from "../protocol/limits.ts"
import type { NodeService } from "./api/routes.ts"
import { startServer, type ApiServer } from "./api/server.ts"
import { recordBoot } from "./boot.ts"
import { systemClock } from "./clock.ts"
import { readConfig, type Config } from "./config.ts"
import type { CheckpointKeys } from "./consensus/checkpoints.ts"
import type { Refusal } from "./consensus/voting.ts"
import type { ValidatorKeys } from "./consensus/own-run.ts"
import { NodeError } from "./errors.ts"
import { readHalt, writeHalt } from "./halt.ts"
import { lockHome, openHome, type Home } from "./home.ts"
import { readKdfProfile } from "./kdf.ts"
import { KEY_NAMES } from "./keys.ts"
import { openKeystore, type Keystore } from "./keystore.ts"
import { createLog, type Log } from "./log.ts"
import { createHost, loadStack } from "./network/host.ts"
import { TarbartaNode, type NodeKeys } from "./node.ts"
import { readGenesis } from "./setup.ts"
import type { Database } from "./store/database.ts"
import { openDatabase } from "./store/level.ts"
import { sealDatabase } from "./store/sealed.ts"
import { openWal, type OpenedWal } from "./store/wal.ts"
import { nativeSuite } from "./suite.ts"

export interface StartOptions {
  readonly home: string
  readonly passphrase: string
  /** Takes one line of the structured log. */
  readonly writeLog: (line: string) => void
}

export interface RunningNode {
  readonly service: NodeService
  /** Settles when the node is gone; rejects when it ended by itself, with the reason. */
  readonly stopped: Promise<void>
  stop(): void
}

const random = (length: number): Uint8Array => randomFillSync(new Uint8Array(length))

/**
 * Starts the node of a home. Resolves when the local API answers.
 *
 * @throws NodeError `HOME_*`, `STORE_*`, `KEYSTORE_*`, `CONFIG_INVALID`, `GENESIS_MISSING`,
 * `PORT_IN_USE`, `NODE_RUNNING`.
 */
export async function startNode(options: StartOptions): Promise<RunningNode> {
  const home = await openHome(options.home)
  const config = await readConfig(home.config)
  const log = createLog(config.logLevel, systemClock, options.writeLog)
  const { profile, warning } = readKdfProfile(process.env)
  const closers: (() => Promise<void>)[] = []
  try {
    const lock = await lockHome(home)
    closers.push(async () => lock.release())
    const { bytes: genesis, genesis: founding } = await readGenesis(home.root)
    const encryption = founding.policy.transportEncryption
    const access = { path: home.keystore, passphrase: options.passphrase, profile }
    const opening = openKeystore({ ...access, suite: nativeSuite, random })
    // While other threads derive the key; what goes wrong is told when the host starts.
    await Promise.allSettled([opening, loadStack(encryption)])
    const keystore = await opening
    closers.push(async () => keystore.close())
    const database = await openSealed(home, config, keystore)
    closers.push(async () => database.close())
    const validator = await openValidator(home, keystore, log)
    if (validator !== undefined) closers.push(validator.close)
    const ending = Promise.withResolvers<void>()
    const host = createHost({
      transportSeed: keystore.secret(KEY_NAMES.transport),
      listen: config.listen,
      encryption,
      clock: systemClock,
      log,
    })
    const node = await TarbartaNode.open({
      code: config.mission,
      genesis,
      keys: keysOf(keystore, validator?.keys),
      suite: nativeSuite,
      random,
      clock: systemClock,
      database,
      transport: host,
      addresses: () => host.addresses(),
      relays: config.relay,
      ...(validator?.refusal === undefined ? {} : { refusal: validator.refusal }),
      ledgerSync: config.ledgerSync,
      log,
      warnings: warning === undefined ? [] : [warning],
      pid: process.pid,
      onFatal: (error) => ending.reject(error),
      onStop: () => ending.resolve(),
    })
    closers.push(async () => node.stop())
    await node.start()
    const server = await serve(home, node, (error) => ending.reject(error))
    closers.push(async () => server.stop())
    log.info("node started", { mission: config.mission })
    const stopped = untilClosed(ending.promise, closers, log)
    return { service: node.service, stopped, stop: () => ending.resolve() }
  } catch (error) {
    await closeAll(closers, log)
    throw error
  }
}

/** Settles as the node's end did, once everything is closed. */
async function untilClosed(
  ended: Promise<void>,
  closers: (() => Promise<void>)[],
  log: Log,
): Promise<void> {
  try {
    await ended
  } finally {
    await closeAll(closers, log)
  }
}

async function serve(
  home: Home,
  node: TarbartaNode,
  onBug: (error: unknown) => void,
): Promise<ApiServer> {
  return startServer({ socketPath: home.socket, service: node.service, clock: systemClock, onBug })
}

async function openSealed(home: Home, config: Config, keystore: Keystore): Promise<Database> {
  const { bulkPercent, percent } = config.freeSpace
  const reserve = { bulkFreePercent: bulkPercent, freePercent: percent }
  const plain = await openDatabase({ path: join(home.store, "main"), reserve })
  // The boot record has its own key from the same secret (boot.ts).
  const secret = keystore.secret(KEY_NAMES.store)
  const key = nativeSuite.hkdfExpand(secret, labelBytes(LABELS.store), AEAD_KEY_BYTES)
  return sealDatabase(plain, { suite: nativeSuite, key, random })
}

interface OpenedValidator {
  readonly keys?: ValidatorKeys
  readonly refusal?: Refusal
  readonly close: () => Promise<void>
}

/**
 * On a validator: its key with the log that belongs to it, or why it must not sign. The node runs
 * either way: what its mission sends and receives does not hang on its vote.
 *
 * @throws NodeError `STORE_FAILED`, `KEYSTORE_DAMAGED`.
 */
async function openValidator(
  home: Home,
  keystore: Keystore,
  log: Log,
): Promise<OpenedValidator | undefined> {
  if (!keystore.has(KEY_NAMES.consensus)) return undefined
  const halted = await readHalt(home.halted)
  if (halted !== undefined) return { refusal: halted, close: async () => Promise.resolve() }
  const opened = await openLog(home)
  if ("code" in opened) return { refusal: opened, close: async () => Promise.resolve() }
  const { wal, records, tornBytes } = opened
  const close = async (): Promise<void> => wal.close()
  const { walId: logId, bootCounter: counter } = wal.identity
  const verdict = await recordBoot(
    home.boot,
    wal.identity,
    nativeSuite,
    keystore.secret(KEY_NAMES.store),
  )
  if (verdict !== "first" && verdict !== "continued") {
    const message = `the consensus log is not the one that this key wrote last: ${verdict}`
    return { refusal: { code: "VALIDATOR_KEY_DEAD", message }, close }
  }
  if (tornBytes > 0) log.warn("torn end of consensus log dropped", { bytes: tornBytes })
  const keys = {
    consensusKey: keystore.publicKey(KEY_NAMES.consensus),
    sign: keystore.ed25519Signer(KEY_NAMES.consensus),
    wal,
    records,
    run: { logId, counter, nonce: random(BOOT_NONCE_BYTES) },
    halt: async (why: Refusal) => writeHalt(home.halted, why),
  }
  return { keys, close }
}

/** A log that is damaged before its end has forgotten promises; the rest of the node has not. */
async function openLog(home: Home): Promise<OpenedWal | Refusal> {
  try {
    return await openWal(join(home.wal, "0"), random)
  } catch (error) {
    if (!(error instanceof NodeError) || error.code !== "WAL_DAMAGED") throw error
    return { code: error.code, message: error.message }
  }
}

function keysOf(keystore: Keystore, validator: ValidatorKeys | undefined): NodeKeys {
  const officers = keystore.names().filter((name) => name.startsWith("officer/"))
  return {
    signing: keystore.signer(KEY_NAMES.signing),
    signingKey: keystore.publicKey(KEY_NAMES.signing),
    transportKey: nativeSuite.ed25519PublicKey(keystore.secret(KEY_NAMES.transport)),
    officers: officers.map((name) => ({
      publicKey: keystore.publicKey(name),
      sign: keystore.signer(name),
    })),
    signBatch: keystore.ed25519Signer(KEY_NAMES.submit),
    checkpoints: checkpointKeys(keystore, validator !== undefined),
    ...(validator === undefined ? {} : { validator }),
  }
}

function checkpointKeys(keystore: Keystore, isValidator: boolean): CheckpointKeys {
  const noContext = new Uint8Array(0)
  const signPq = (name: string): ((message: Uint8Array) => Uint8Array) => {
    const sign = keystore.mldsa44Signer(name)
    return (message) => sign(noContext, message)
  }
  const witness = {
    cosigner: keystore.ed25519Signer(KEY_NAMES.witness),
    cosignerPq: signPq(KEY_NAMES.witnessPq),
  }
  if (!isValidator) return { witness }
  const validator = {
    log: keystore.ed25519Signer(KEY_NAMES.log),
    cosigner: keystore.ed25519Signer(KEY_NAMES.cosigner),
    cosignerPq: signPq(KEY_NAMES.cosignerPq),
  }
  return { witness, validator }
}

/** Closes in the opposite order of opening; one that fails does not keep the others open. */
async function closeAll(closers: (() => Promise<void>)[], log: Log): Promise<void> {
  for (const close of closers.toReversed()) {
    try {
      await close()
    } catch (error) {
      log.error("closing failed", { reason: error instanceof Error ? error.message : "unknown" })
    }
  }
  closers.length = 0
}
