/**
 * Builds the libp2p node: transports, one encrypter, muxer, limits (PROTOCOL §10).
 *
 * The only file that loads libp2p. It is imported when a host starts, because the group for the
 * post-quantum handshake must be set before TLS is loaded.
 */

import { noise } from "@chainsafe/libp2p-noise"
import { yamux } from "@chainsafe/libp2p-yamux"
import { generateKeyPairFromSeed, publicKeyFromRaw } from "@libp2p/crypto/keys"
import type { Connection, ConnectionGater, Libp2p, PeerId } from "@libp2p/interface"
import { peerIdFromPublicKey } from "@libp2p/peer-id"
import { tcp } from "@libp2p/tcp"
import { tls } from "@libp2p/tls"
import { multiaddr, type Multiaddr } from "@multiformats/multiaddr"
import { createLibp2p } from "libp2p"
import {
  CONNECTIONS_MAX,
  DIAL_TIMEOUT_MS,
  HELLO_TIMEOUT_MS,
  MUXER_WINDOW_BYTES,
  PENDING_CONNECTIONS_MAX,
  STREAMS_PER_CONNECTION_MAX,
  STREAM_READ_BUFFER_BYTES_MAX,
  STREAM_WRITE_BUFFER_BYTES_MAX,
  UPGRADE_TIMEOUT_MS,
} from "../../protocol/limits.ts"
import type { Clock } from "../clock.ts"
import type { PeerKey } from "./transport.ts"
import { hardenedWebSockets } from "./websocket.ts"

export type Encryption = "noise" | "tls-pq"

export interface StackOptions {
  readonly transportSeed: Uint8Array
  readonly listen: readonly string[]
  readonly encryption: Encryption
  readonly gater: ConnectionGater
}

export interface DialOptions {
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly connectMs?: number
}

/** A node that does not run yet. */
export async function createStack(options: StackOptions): Promise<Libp2p> {
  const privateKey = await generateKeyPairFromSeed("Ed25519", options.transportSeed)
  return createLibp2p({
    start: false,
    privateKey,
    addresses: { listen: [...options.listen] },
    transports: [tcp(), hardenedWebSockets()],
    // Exactly one: the choice between two is not authenticated.
    connectionEncrypters: [options.encryption === "noise" ? noise() : tls()],
    streamMuxers: [
      yamux({
        enableKeepAlive: false,
        maxInboundStreams: STREAMS_PER_CONNECTION_MAX,
        maxOutboundStreams: STREAMS_PER_CONNECTION_MAX,
        maxEarlyStreams: STREAMS_PER_CONNECTION_MAX,
        streamOptions: {
          initialStreamWindowSize: MUXER_WINDOW_BYTES,
          maxStreamWindowSize: MUXER_WINDOW_BYTES,
          maxReadBufferLength: STREAM_READ_BUFFER_BYTES_MAX,
          maxWriteBufferLength: STREAM_WRITE_BUFFER_BYTES_MAX,
        },
      }),
    ],
    connectionGater: options.gater,
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: CONNECTIONS_MAX,
      maxIncomingPendingConnections: PENDING_CONNECTIONS_MAX,
      inboundUpgradeTimeout: UPGRADE_TIMEOUT_MS,
      // Per second and address: many missions may stand behind one address.
      inboundConnectionThreshold: PENDING_CONNECTIONS_MAX,
      dialTimeout: DIAL_TIMEOUT_MS,
      addressDialTimeout: UPGRADE_TIMEOUT_MS,
      inboundStreamProtocolNegotiationTimeout: HELLO_TIMEOUT_MS,
      outboundStreamProtocolNegotiationTimeout: HELLO_TIMEOUT_MS,
      // Reconnecting is our own: the stack gives up after a few tries.
      reconnectRetries: 0,
    },
    services: {},
  })
}

/** Dials; with `connectMs`, gives up a socket that is not open by then, and tries the next. */
export async function dialAny(
  node: Libp2p,
  addresses: readonly Multiaddr[],
  { signal, clock, connectMs }: DialOptions,
): Promise<Connection> {
  if (connectMs === undefined) return node.dial([...addresses], { force: true, signal })
  const errors: unknown[] = []
  for (const address of addresses) {
    const impatience = new AbortController()
    // A lost first packet is sent again after 1, 3, 7 s, whenever the line is back: we dial anew.
    const timer = clock.after(connectMs, () => impatience.abort(new Error("no socket in time")))
    try {
      return await node.dial([address], {
        force: true,
        signal: AbortSignal.any([signal, impatience.signal]),
        onProgress: ({ type }) => {
          if (type === "upgrader:encrypt-outbound-connection") timer.cancel()
        },
      })
    } catch (error) {
      errors.push(error)
      if (signal.aborted) break
    } finally {
      timer.cancel()
    }
  }
  throw new AggregateError(errors, "no address answers")
}

/** The peer id of a raw Ed25519 key in hex. */
export function peerIdOf(peer: PeerKey): PeerId {
  return peerIdFromPublicKey(publicKeyFromRaw(Buffer.from(peer, "hex")))
}

/** A directory's address with the peer's id, so that the handshake checks the key. */
export function dialAddress(address: string, peer: PeerId): Multiaddr {
  const parsed = multiaddr(address)
  const names = parsed.getComponents().map((component) => component.name)
  return names.includes("p2p") ? parsed : parsed.encapsulate(`/p2p/${peer.toString()}`)
}
