/**
 * Loaded into a node's process before the node: on SIGUSR2 its network is gone, and on the next
 * SIGUSR2 it is there again. The process runs on, and so does its local API.
 *
 * What a pulled cable is to a process: its TCP connections end, and none can be made in either
 * direction.
 */

import { subscribe } from "node:diagnostics_channel"
import type { Socket } from "node:net"

const sockets = new Set<Socket>()
let isCut = false

function take(socket: Socket): void {
  sockets.add(socket)
  socket.once("close", () => sockets.delete(socket))
  if (isCut) process.nextTick(() => end(socket))
}

function end(socket: Socket): void {
  const error = new Error("connect ENETUNREACH: the cable is pulled")
  socket.destroy(Object.assign(error, { code: "ENETUNREACH" }))
}

/** The local API's clients come over a Unix socket, which has no address. */
function isOverNetwork({ remoteAddress }: Socket): boolean {
  return remoteAddress !== undefined
}

subscribe("net.client.socket", (message) => take((message as { socket: Socket }).socket))
subscribe("net.server.socket", (message) => {
  const { socket } = message as { socket: Socket }
  if (isOverNetwork(socket)) take(socket)
})
process.on("SIGUSR2", () => {
  isCut = !isCut
  if (isCut) for (const socket of sockets) end(socket)
})
