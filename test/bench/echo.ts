/**
 * The other end of the round trips, as a process of its own: a bare TCP echo and an echo over our
 * own transport, both on loopback.
 *
 * Prints {"tcp": PORT, "addresses": [...]} when it is ready. Ends when its standard input does.
 */

import { createServer } from "node:net"
import { once } from "node:events"
import { hostOf, party } from "../support/hosts.ts"
import { ECHO } from "./raw-tcp.ts"

const host = hostOf(party(2))
host.handle(ECHO, (_from, request) => Promise.resolve(request))
host.setMembers([{ peer: party(1).key, addresses: [], keep: false }])
await host.start()

const server = createServer((socket) => {
  socket.setNoDelay(true)
  socket.on("error", () => socket.destroy())
  socket.pipe(socket)
})
server.listen(0, "127.0.0.1")
await once(server, "listening")
const address = server.address()
if (address === null || typeof address === "string") throw new Error("the echo has no port")
process.stdout.write(`${JSON.stringify({ tcp: address.port, addresses: host.addresses() })}\n`)
process.stdin.on("end", () => process.exit(0)).resume()
