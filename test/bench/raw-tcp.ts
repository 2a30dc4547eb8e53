/** A bare TCP round trip to a process of its own: the floor under everything that is answered. */

import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { ProtocolSpec } from "../../node/network/transport.ts"

const PROGRAM = fileURLToPath(new URL("echo.ts", import.meta.url))

/** What the echo process answers over our own transport. */
export const ECHO: ProtocolSpec = {
  id: "/tarbarta/echo/1",
  lane: "urgent",
  requestBytesMax: 65_536,
  answerBytesMax: 65_536,
  timeoutMs: 20_000,
}

/** The echo process with a TCP connection to it. */
export class RawTcp {
  readonly #child: ChildProcess
  readonly #socket: Socket
  /** Multiaddrs of its transport. */
  readonly addresses: readonly string[]

  private constructor(child: ChildProcess, socket: Socket, addresses: readonly string[]) {
    this.#child = child
    this.#socket = socket
    this.addresses = addresses
  }

  static async start(): Promise<RawTcp> {
    // It ends with its standard input, so at the latest with this process.
    const child = spawn(process.execPath, [PROGRAM], { stdio: ["pipe", "pipe", "inherit"] })
    const lines = createInterface({ input: child.stdout })
    const ended = once(child, "exit").then(() => {
      throw new Error("the echo process ended before it was ready")
    })
    const [line] = (await Promise.race([once(lines, "line"), ended])) as [string]
    ended.catch(() => undefined)
    const { tcp, addresses } = JSON.parse(line) as { tcp: number; addresses: string[] }
    const socket = connect({ port: tcp, host: "127.0.0.1", noDelay: true })
    await once(socket, "connect")
    return new RawTcp(child, socket, addresses)
  }

  /** Sends a message and waits until as many bytes came back; in milliseconds. */
  async roundTrip(message: Uint8Array): Promise<number> {
    const back = Promise.withResolvers<void>()
    let received = 0
    const take = (chunk: Uint8Array): void => {
      received += chunk.length
      if (received >= message.length) back.resolve()
    }
    this.#socket.on("data", take)
    const startedMs = performance.now()
    this.#socket.write(message)
    await back.promise
    const tookMs = performance.now() - startedMs
    this.#socket.off("data", take)
    return tookMs
  }

  async stop(): Promise<void> {
    this.#socket.destroy()
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill()
    await once(this.#child, "exit")
  }
}
