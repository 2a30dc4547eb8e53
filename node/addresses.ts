/** Addresses as people write them, and as the transport wants them. */

import { NodeError } from "./errors.ts"

const MULTIADDR =
  /^\/(ip4\/[0-9.]+|ip6\/[0-9a-fA-F:]+|dns[46]?\/[A-Za-z0-9.-]+)\/tcp\/([0-9]{1,5})(\/ws)?$/
const HOST_PORT = /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})$/
const IPV4 = /^[0-9]{1,3}(\.[0-9]{1,3}){3}$/

/**
 * A multiaddr for TCP or WebSocket, from one or from HOST:PORT.
 *
 * @throws NodeError `SETUP_INVALID`.
 */
export function listenAddress(text: string): string {
  const multiaddr = MULTIADDR.exec(text)
  if (multiaddr !== null) {
    checkPort(text, multiaddr[2] ?? "")
    return text
  }
  const [, host, port] = HOST_PORT.exec(text) ?? []
  if (host === undefined || port === undefined) {
    throw new NodeError("SETUP_INVALID", `address "${text}": expected HOST:PORT or a multiaddr`, {
      hint: "such as 192.0.2.7:4001, /dns4/lon.example/tcp/443/ws",
    })
  }
  checkPort(text, port)
  if (host.startsWith("[")) return `/ip6/${host.slice(1, -1)}/tcp/${port}`
  return IPV4.test(host) ? `/ip4/${host}/tcp/${port}` : `/dns/${host}/tcp/${port}`
}

function checkPort(text: string, port: string): void {
  if (Number(port) <= 65_535) return
  throw new NodeError("SETUP_INVALID", `address "${text}": no port ${port}`)
}
