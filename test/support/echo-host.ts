/**
 * Lisbon as a process of its own: an echo on loopback, for tests that kill it.
 *
 * Arguments: port to listen on, address of the capital. Prints the port. On contact it sends one
 * byte, 1, to the capital. A request whose first byte is 255 is never answered. Ends when its
 * standard input does, in good order.
 */

import { createHost } from "../../node/network/host.ts"
import { systemClock } from "../../node/clock.ts"
import { party, RecordingLog } from "./hosts.ts"
import { echoProtocol } from "./echo-protocol.ts"

const [port = "0", capital = ""] = process.argv.slice(2)
const lisbon = party(2)
const host = createHost({
  transportSeed: lisbon.seed,
  listen: [`/ip4/127.0.0.1/tcp/${port}`],
  encryption: "noise",
  clock: systemClock,
  log: new RecordingLog(),
})
const echo = echoProtocol("urgent", 6_000_000)
host.handle(echo, (_from, request) =>
  request[0] === 255 ? new Promise<Uint8Array>(() => {}) : Promise.resolve(request),
)
host.onContact((peer, state) => {
  if (state === "down") return
  host.request(peer, echo, Uint8Array.of(1)).catch((error: unknown) => console.error(error))
})
await host.start()
host.setMembers([{ peer: party(1).key, addresses: [capital], keep: true }])
console.log(host.addresses()[0]?.split("/")[4])
process.stdin.on("end", () => void host.stop().then(() => process.exit(0))).resume()
