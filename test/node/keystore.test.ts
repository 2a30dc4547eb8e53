// These tests use the test profile of the KDF (8 MiB), but for the one that says otherwise.
import { chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { AssertionError } from "../../protocol/assert.ts"
import { verifyComposite } from "../../protocol/composite.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { checkKdfParameters, KDF_PROFILES, readKdfProfile } from "../../node/kdf.ts"
import {
  decodeKeyFile,
  decodeSecrets,
  encodeKeyFile,
  encodeSecrets,
  type NamedSecret,
} from "../../node/keystore-file.ts"
import { createKeystore, openKeystore, rewriteKeystore } from "../../node/keystore.ts"
import { temporaryFolder } from "../support/folder.ts"
import { seededRandom } from "../support/rng.ts"
import { suite } from "../support/suites.ts"

const random = seededRandom("keystore")
const passphrase = "zoral-dinut-bafor"
const identity: NamedSecret = { name: "mission/ik", kind: "composite", bytes: random(64) }
const submit: NamedSecret = { name: "submit", kind: "ed25519", bytes: random(32) }
const witness: NamedSecret = { name: "witness-pq", kind: "mldsa44", bytes: random(32) }
const store: NamedSecret = { name: "store", kind: "secret", bytes: random(32) }
const secrets = [store, identity, submit, witness]

async function newAccess() {
  const path = join(await temporaryFolder(), "keystore")
  return { path, passphrase, profile: "test", suite, random } as const
}

describe("a key file", () => {
  it("opens with its passphrase, in either normal form, and gives the same keys", async () => {
    const access = { ...(await newAccess()), passphrase: "caf\u00e9 \u09a1\u09bc" }
    const made = await createKeystore(access, secrets)
    const opened = await openKeystore({ ...access, passphrase: access.passphrase.normalize("NFD") })
    expect(opened.names()).toEqual(["mission/ik", "store", "submit", "witness-pq"])
    expect(opened.secret("store")).toEqual(store.bytes)
    expect(opened.publicKey("mission/ik")).toEqual(made.publicKey("mission/ik"))
    expect((await stat(access.path)).mode & 0o777).toBe(0o600)
  })

  it("holds nothing in clear", async () => {
    const access = await newAccess()
    await createKeystore(access, secrets)
    const content = await readFile(access.path)
    expect(content.includes("mission/ik")).toBe(false)
    for (const { bytes } of secrets) {
      for (let at = 0; at < bytes.length; at += 8) {
        expect(content.includes(Buffer.from(bytes.subarray(at, at + 8)))).toBe(false)
      }
    }
  })

  it("hands out signers of each kind, and no bytes of keys that sign", async () => {
    const keystore = await createKeystore(await newAccess(), secrets)
    const message = Uint8Array.of(1, 2, 3)
    const signature = keystore.signer("mission/ik")("TB1/cable/real", message)
    const key = keystore.publicKey("mission/ik")
    expect(() => verifyComposite(suite, key, "TB1/cable/real", message, signature)).not.toThrow()
    const short = keystore.ed25519Signer("submit")(message)
    expect(suite.ed25519Verify(keystore.publicKey("submit"), message, short)).toBe(true)
    const context = Uint8Array.of(6)
    const pq = keystore.mldsa44Signer("witness-pq")(context, message)
    const pqKey = keystore.publicKey("witness-pq")
    expect(suite.mldsaVerify(44, pqKey, message, context, pq)).toBe(true)

    expect(() => keystore.secret("submit")).toThrow(AssertionError)
    expect(() => keystore.ed25519Signer("store")).toThrow(AssertionError)
    expect(() => keystore.signer("none")).toThrow(/holds no key named none/)
    const signer = keystore.ed25519Signer("submit")
    keystore.close()
    expect(() => signer(message)).toThrow(AssertionError)
  })

  it("refuses a wrong passphrase in one clear line", async () => {
    const access = await newAccess()
    await createKeystore(access, secrets)
    const wrong = openKeystore({ ...access, passphrase: "zoral-dinut-bafos" })
    await expect(wrong).rejects.toMatchObject({
      code: "KEYSTORE_PASSPHRASE",
      message: `wrong passphrase for key file ${access.path}`,
    })
  })

  it("refuses every flipped byte and every length as damage, before any work", async () => {
    const access = await newAccess()
    await createKeystore(access, secrets)
    const whole = Uint8Array.from(await readFile(access.path))
    for (let at = 0; at < whole.length; at++) {
      const bad = whole.slice()
      bad[at] = (bad[at] ?? 0) ^ (1 << (at % 8))
      await writeFile(access.path, bad)
      await expect(openKeystore(access)).rejects.toMatchObject({ code: "KEYSTORE_DAMAGED" })
      await writeFile(access.path, whole.subarray(0, at))
      await expect(openKeystore(access)).rejects.toMatchObject({ code: "KEYSTORE_DAMAGED" })
    }
    await writeFile(access.path, Buffer.concat([whole, Uint8Array.of(0)]))
    await expect(openKeystore(access)).rejects.toMatchObject({ code: "KEYSTORE_DAMAGED" })
    await writeFile(access.path, whole)
    expect((await openKeystore(access)).has("store")).toBe(true)
  })

  it("refuses a bomb: parameters above the bounds, in a file that is otherwise in order", async () => {
    const access = await newAccess()
    await createKeystore(access, secrets)
    const file = decodeKeyFile(suite, Uint8Array.from(await readFile(access.path)))
    const bombs = [
      { memoryKiB: 2_097_153, passes: 1, lanes: 4 },
      { memoryKiB: 8_192, passes: 11, lanes: 1 },
      { memoryKiB: 8_192, passes: 1, lanes: 17 },
      { memoryKiB: 8_192, passes: 1, lanes: 0 },
      { memoryKiB: 8_192, passes: 0, lanes: 1 },
      { memoryKiB: 7, passes: 1, lanes: 1 },
    ]
    for (const parameters of bombs) {
      await writeFile(access.path, encodeKeyFile(suite, { ...file, parameters }))
      await expect(openKeystore(access)).rejects.toMatchObject({ code: "KEYSTORE_PARAMETERS" })
    }
    for (const change of [{ version: 2 }, { kdf: 2 }]) {
      await writeFile(access.path, encodeKeyFile(suite, { ...file, ...change }))
      await expect(openKeystore(access)).rejects.toMatchObject({ code: "KEYSTORE_PARAMETERS" })
    }
  })

  it("made with the test profile opens under the test profile only", async () => {
    const access = await newAccess()
    await createKeystore(access, secrets)
    for (const profile of ["default", "floor"] as const) {
      await expect(openKeystore({ ...access, profile })).rejects.toMatchObject({
        code: "KEYSTORE_PARAMETERS",
      })
    }
  })

  it("made with the floor profile (256 MiB, 3 passes) opens under the default one", async () => {
    const access = { ...(await newAccess()), profile: "floor" } as const
    await createKeystore(access, [store])
    const opened = await openKeystore({ ...access, profile: "default" })
    expect(opened.secret("store")).toEqual(store.bytes)
  })

  it("is private, is missing where it is missing, and is not a folder", async () => {
    const access = await newAccess()
    await expect(openKeystore(access)).rejects.toMatchObject({ code: "KEYSTORE_MISSING" })
    await mkdir(access.path, { mode: 0o700 })
    await expect(openKeystore(access)).rejects.toMatchObject({ code: "FILE_UNREADABLE" })
    const other = await newAccess()
    await createKeystore(other, secrets)
    await expect(createKeystore(other, secrets)).rejects.toMatchObject({ code: "HOME_EXISTS" })
    await chmod(other.path, 0o640)
    await expect(openKeystore(other)).rejects.toMatchObject({
      code: "FILE_PERMISSIONS",
      hint: `chmod 600 ${other.path}`,
    })
    const empty = { ...(await newAccess()), passphrase: "" }
    await expect(createKeystore(empty, [])).rejects.toMatchObject({ code: "PASSPHRASE_MISSING" })
  })

  it("is rewritten whole, with another passphrase, and leaves nothing beside it", async () => {
    const access = await newAccess()
    await createKeystore(access, secrets)
    const before = await readFile(access.path)
    const added: NamedSecret = { name: "officer/rahman", kind: "composite", bytes: random(64) }
    const change = { put: [added], remove: ["submit"], newPassphrase: "another one" }
    const changed = await rewriteKeystore(access, change)
    expect(changed.names()).toEqual(["mission/ik", "officer/rahman", "store", "witness-pq"])
    await expect(openKeystore(access)).rejects.toMatchObject({ code: "KEYSTORE_PASSPHRASE" })
    const opened = await openKeystore({ ...access, passphrase: "another one" })
    expect(opened.publicKey("officer/rahman")).toEqual(changed.publicKey("officer/rahman"))
    expect(opened.secret("store")).toEqual(store.bytes)
    expect(await readdir(join(access.path, ".."))).toEqual(["keystore"])
    expect((await readFile(access.path)).equals(before)).toBe(false)
    await writeFile(`${access.path}.partial`, "left by a crash")
    await rewriteKeystore({ ...access, passphrase: "another one" }, {})
    expect(await readdir(join(access.path, ".."))).toEqual(["keystore"])
  })
})

describe("the key derivation", () => {
  it("takes 1 GiB with one pass by default, and 256 MiB with three at least", () => {
    expect(KDF_PROFILES.default).toEqual({ memoryKiB: 1_048_576, passes: 1, lanes: 4 })
    expect(KDF_PROFILES.floor).toEqual({ memoryKiB: 262_144, passes: 3, lanes: 4 })
    const check = (memoryKiB: number, passes: number) => () =>
      checkKdfParameters({ memoryKiB, passes, lanes: 4 }, "default")
    expect(check(1_048_576, 1)).not.toThrow()
    expect(check(262_144, 3)).not.toThrow()
    expect(check(2_097_152, 10)).not.toThrow()
    expect(check(262_144, 2)).toThrow(/below the floor/)
    expect(check(262_143, 3)).toThrow(/below the floor/)
    expect(check(1_048_575, 1)).toThrow(/below the floor/)
  })

  it("says when a profile is weak, and refuses unknown ones", () => {
    expect(readKdfProfile({})).toEqual({ profile: "default", warning: undefined })
    expect(readKdfProfile({ TARBARTA_KDF_PROFILE: "floor" }).warning).toBeUndefined()
    const test = readKdfProfile({ TARBARTA_KDF_PROFILE: "test" })
    expect(test.profile).toBe("test")
    expect(test.warning).toMatch(/never in service/)
    expect(() => readKdfProfile({ TARBARTA_KDF_PROFILE: "weak" })).toThrow(/expected default/)
  })
})

describe("the bytes of a key file", () => {
  const names = fc.stringMatching(/^[a-z0-9]{1,8}([-./][a-z0-9]{1,8})?$/)
  const seed = fc.uint8Array({ minLength: 32, maxLength: 32 })
  const secret = fc.record({
    name: names,
    kind: fc.constantFrom("ed25519", "mldsa44", "secret"),
    bytes: seed,
  })
  const lists = fc.uniqueArray(secret, { selector: (one) => one.name, maxLength: 6 })

  it("of the content read back to what was written", () => {
    fc.assert(
      fc.property(lists, (written) => {
        const bytes = encodeSecrets(written)
        const read = decodeSecrets(bytes)
        expect(read).toEqual(written.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
        expect(encodeSecrets(read)).toEqual(bytes)
      }),
    )
  })

  it("of the content refuse a name twice, bad names and wrong lengths", () => {
    const bad: NamedSecret[][] = [
      [store, store],
      [{ ...store, name: "Store" }],
      [{ ...store, name: "" }],
      [{ ...store, bytes: new Uint8Array(31) }],
      [{ ...identity, bytes: new Uint8Array(32) }],
    ]
    for (const list of bad) expect(() => encodeSecrets(list)).toThrow(TarbartaError)
  })

  it("read back, or give a coded error, whatever they are", () => {
    const file = {
      version: 1,
      kdf: 1,
      parameters: KDF_PROFILES.test,
      salt: random(16),
      nonce: random(12),
      sealed: random(50),
    }
    const good = encodeKeyFile(suite, file)
    expect(decodeKeyFile(suite, good)).toEqual(file)
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, value]) => good.with(at, value)),
    )
    fc.assert(
      fc.property(anything, (bytes) => {
        for (const decode of [
          (input: Uint8Array) => encodeKeyFile(suite, decodeKeyFile(suite, input)),
          (input: Uint8Array) => encodeSecrets(decodeSecrets(input)),
        ]) {
          try {
            expect(decode(bytes)).toEqual(bytes)
          } catch (error) {
            if (!(error instanceof TarbartaError)) throw error
          }
        }
      }),
    )
  })
})
