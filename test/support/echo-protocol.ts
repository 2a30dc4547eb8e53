import type { Lane, ProtocolSpec } from "../../node/network/transport.ts"

/** A protocol of tests: its answer is its request. */
export function echoProtocol(lane: Lane, bytesMax: number, timeoutMs = 20_000): ProtocolSpec {
  const id = "/tarbarta/echo/1"
  return { id, lane, requestBytesMax: bytesMax, answerBytesMax: bytesMax, timeoutMs }
}
