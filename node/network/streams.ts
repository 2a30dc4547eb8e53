/**
 * A pipe over one stream of libp2p, made so that nothing piles up on either side of it.
 *
 * Three things of the stack must be worked around (docs/ARCHITECTURE.md, "Transport"): iterating a
 * stream buffers without bound, so bytes are taken from `message` events and worked off at once;
 * `onDrain()` resolves at once from its second use on, so the `drain` event is awaited; and while
 * the other side does not take what we write, we stop reading from it, so that it cannot make us
 * queue answers without end.
 */

import type { Connection, Stream } from "@libp2p/interface"
import { NodeError } from "../errors.ts"
import type { Pipe } from "./outgoing.ts"
import type { Carrier } from "./transport.ts"

/** What the system says of a socket that the other side's machine knows nothing of. */
const RESET_CODES: ReadonlySet<string> = new Set(["ECONNRESET", "EPIPE"])

/** Connections that we ended ourselves: how they end says nothing of the other side. */
const released = new WeakSet<Connection>()
/** Connections that the other side has ended by its greeting's stream, before the socket. */
const ended = new WeakSet<Connection>()

/** What one side of an exchange does with its stream ({@link Asker}, {@link Answerer}). */
export interface Endpoint {
  /** @throws NodeError `STREAM_PROTOCOL`, which aborts the stream. */
  receive(bytes: Uint8Array): void
  drained(): void
  /** Called once, whatever ended the stream. */
  closed(error: NodeError): void
}

/** Only what a pipe needs of a stream, so that tests can show it another. */
export type ByteStream = Pick<
  Stream,
  "send" | "abort" | "pause" | "resume" | "addEventListener" | "status" | "readStatus"
>

/**
 * Joins a stream and an endpoint, and returns the endpoint. It gets its bytes from now on;
 * `onBreach` hears of a broken protocol, with the stream aborted already.
 */
export function joinStream<T extends Endpoint>(
  stream: ByteStream,
  connect: (pipe: Pipe) => T,
  onBreach: (error: NodeError) => void,
): T {
  let isOver = false

  const end = (error: NodeError): void => {
    if (isOver) return
    isOver = true
    endpoint.closed(error)
  }
  const pipe: Pipe = {
    send(bytes) {
      if (isOver) return false
      let isWritable: boolean
      try {
        isWritable = stream.send(bytes)
      } catch (cause) {
        end(lost(cause))
        return false
      }
      if (!isWritable && stream.status === "open") stream.pause()
      return isWritable
    },
    abort(error) {
      stream.abort(error)
      end(error)
    },
  }
  const endpoint = connect(pipe)

  stream.addEventListener("close", (event) => end(lost(event.error)))
  stream.addEventListener("remoteCloseWrite", () => {
    pipe.abort(new NodeError("PEER_UNREACHABLE", "stream: closed by the other side"))
  })
  stream.addEventListener("drain", () => {
    if (isOver) return
    if (stream.readStatus === "paused") stream.resume()
    endpoint.drained()
  })
  stream.addEventListener("message", (event) => {
    try {
      for (const bytes of event.data instanceof Uint8Array ? [event.data] : event.data) {
        if (isOver) return
        endpoint.receive(bytes)
      }
    } catch (error) {
      if (!(error instanceof NodeError)) throw error
      pipe.abort(error)
      onBreach(error)
    }
  })
  return endpoint
}

/**
 * What the end of a connection says of the other side. Its process closed it, or its machine did
 * after the process had died, if that is what the socket says and we had not let go before.
 */
export function carrierOf(connection: Connection): Carrier {
  const carrier = { isClosed: false }
  connection.addEventListener("close", ({ local, error }) => {
    const code = error !== undefined && "code" in error ? error.code : undefined
    const isTheirs = local !== true || (typeof code === "string" && RESET_CODES.has(code))
    carrier.isClosed = ended.has(connection) || (isTheirs && !released.has(connection))
  })
  return carrier
}

/** The other side takes leave of a connection; unless we did so before, that is why it ends. */
export function noteEnded(connection: Connection): void {
  if (!released.has(connection)) ended.add(connection)
}

/** Ends a connection at once; the other side may be left to find out by itself. */
export function cutConnection(connection: Connection, error: Error): void {
  if (connection.status === "open") released.add(connection)
  try {
    connection.abort(error)
  } catch {
    // The muxer wanted to say goodbye on a layer that was closed already, and so did not get to
    // the socket; it does not try again.
    connection.abort(error)
  }
}

/** Ends a connection once what is under way on it has gone. */
export function closeConnection(connection: Connection): void {
  released.add(connection)
  connection.close().catch((error: unknown) => {
    cutConnection(connection, error instanceof Error ? error : new Error("close failed"))
  })
}

function lost(cause: unknown): NodeError {
  return new NodeError("PEER_UNREACHABLE", "stream: lost", { cause })
}
