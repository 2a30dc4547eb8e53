import { startServer } from "../../node/api/server.ts"
import { systemClock } from "../../node/clock.ts"
import { ServiceInMemory } from "../support/service.ts"
import { measureColdStart } from "./cli.ts"
const service = new ServiceInMemory(systemClock)
const server = await startServer({ socketPath: "/tmp/tb/cs/run/node.sock", service, clock: systemClock, onBug: console.error })
for (let i = 0; i < 3; i++) console.log(await measureColdStart("/tmp/tb/cs", 11))
await server.stop()
