/**
 * Who gets past the handshake: the members of the ledger's directory, and nobody else.
 *
 * The key is proven by the encrypted handshake; before that an inbound socket is only counted. The
 * list is asked anew for each connection, so it is in force as soon as it is set.
 */

import type { ConnectionGater, MultiaddrConnection, PeerId } from "@libp2p/interface"
import { STREAM_WRITE_BUFFER_BYTES_MAX } from "../../protocol/limits.ts"
import type { PeerKey } from "./transport.ts"

/** The raw transport key inside a peer id; undefined for any key that is not Ed25519. */
export function peerKeyOf(peer: PeerId): PeerKey | undefined {
  if (peer.type !== "Ed25519") return undefined
  return Buffer.from(peer.publicKey.raw).toString("hex")
}

/** The gates of the stack, for a set of members that `isMember` knows. */
export function createGater(isMember: (peer: PeerKey) => boolean): ConnectionGater {
  const isDenied = (peer: PeerId): boolean => {
    const key = peerKeyOf(peer)
    return key === undefined || !isMember(key)
  }
  const isDeniedConnection = (peer: PeerId, connection: MultiaddrConnection): boolean => {
    // What the socket does not take is held by the stack without limit unless told otherwise.
    connection.maxWriteBufferLength = STREAM_WRITE_BUFFER_BYTES_MAX
    if (!isDenied(peer)) return false
    // The stack closes politely and listens on meanwhile; a stranger is cut.
    connection.abort(new Error("not a member"))
    return true
  }
  return {
    denyDialPeer: isDenied,
    // Private and loopback addresses are fine: the directory names them.
    denyDialMultiaddr: () => false,
    denyOutboundConnection: isDenied,
    denyInboundEncryptedConnection: isDeniedConnection,
    denyOutboundEncryptedConnection: isDeniedConnection,
    denyInboundUpgradedConnection: isDenied,
    denyOutboundUpgradedConnection: isDenied,
    denyInboundRelayReservation: () => true,
    denyOutboundRelayedConnection: () => true,
    denyInboundRelayedConnection: () => true,
    filterMultiaddrForPeer: (peer) => !isDenied(peer),
  }
}
