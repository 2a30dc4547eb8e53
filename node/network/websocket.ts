/**
 * The WebSocket transport of the stack, with four holes closed that a stranger could use before
 * the handshake has proven anything.
 *
 * 1. A malformed WebSocket frame raises `error` on a socket without listener, which ends the
 *    process. 2. Messages of up to 100 MiB are gathered in memory. 3. A socket that never says a
 *    word stays open for ever. 4. An abort asks for close code 1006, which both implementations
 *    refuse, so the socket stays open: a removed member would stay connected.
 */

import type { Listener, Transport } from "@libp2p/interface"
import { webSockets } from "@libp2p/websockets"
import {
  CONNECTIONS_MAX,
  PENDING_CONNECTIONS_MAX,
  UPGRADE_TIMEOUT_MS,
  WEBSOCKET_MESSAGE_BYTES_MAX,
} from "../../protocol/limits.ts"
import { assert } from "../../protocol/assert.ts"
import type { Server, Socket } from "node:net"
import type { IncomingMessage } from "node:http"

/** What the stack passes to transports; only handed through. */
type Components = Parameters<ReturnType<typeof webSockets>>[0]

/** The parts of the stack's listener that are mended; checked before use. */
interface ListenerParts {
  readonly server: Server
  readonly wsServer: { readonly options: { maxPayload: number } }
  onWsServerConnection: (socket: ServerSocket, request: IncomingMessage) => void
}

/** A `ws` socket on the listening side. */
interface ServerSocket {
  close: (code?: number) => void
  terminate(): void
  on(event: "error", listener: (error: Error) => void): void
}

/** A WebSocket of Node itself, on the dialling side. */
interface ClientSocket {
  close: (code?: number) => void
}

const CODE_ABNORMAL = 1_006
/** A code that applications may send; the other side only sees that the connection is gone. */
const CODE_ABORTED = 4_006

export function hardenedWebSockets(): (components: Components) => Transport {
  return (components) => {
    const transport = webSockets()(components)
    const createListener = transport.createListener.bind(transport)
    transport.createListener = (options) => {
      const listener = createListener(options)
      mendListener(listener)
      return listener
    }
    const parts = transport as Transport & { _connect?: Connect }
    const connect = parts._connect?.bind(transport)
    assert(connect !== undefined, "the WebSocket transport has no _connect to mend")
    parts._connect = async (...args) => mendClient(await connect(...args))
    return transport
  }
}

type Connect = (...args: unknown[]) => Promise<ClientSocket>

function mendListener(listener: Listener): void {
  const parts = listener as Listener & Partial<ListenerParts>
  const { server, wsServer, onWsServerConnection } = parts
  assert(
    server !== undefined && wsServer !== undefined && onWsServerConnection !== undefined,
    "the WebSocket listener is not the one that was mended",
  )
  wsServer.options.maxPayload = WEBSOCKET_MESSAGE_BYTES_MAX
  server.maxConnections = CONNECTIONS_MAX + PENDING_CONNECTIONS_MAX
  server.on("connection", (socket: Socket) => {
    socket.on("error", () => socket.destroy())
    socket.setTimeout(UPGRADE_TIMEOUT_MS, () => socket.destroy())
  })
  parts.onWsServerConnection = (socket, request) => {
    request.socket.setTimeout(0)
    socket.on("error", () => socket.terminate())
    const close = socket.close.bind(socket)
    socket.close = (code) => (code === CODE_ABNORMAL ? socket.terminate() : close(code))
    onWsServerConnection.call(listener, socket, request)
  }
}

function mendClient(socket: ClientSocket): ClientSocket {
  const close = socket.close.bind(socket)
  socket.close = (code) => close(code === CODE_ABNORMAL ? CODE_ABORTED : code)
  return socket
}
