/** Where a node's local door is, and the words that both of its sides say. */

import { SOCKET_PATH_BYTES_MAX } from "../../protocol/limits.ts"
import { NodeError } from "../errors.ts"
import { homeLayout } from "../home.ts"

/** The only host that a request may name; a Unix socket has none of its own. */
export const API_HOST = "localhost"
export const JSON_TYPE = "application/json"
export const LINES_TYPE = "application/x-ndjson"
export const BYTES_TYPE = "application/octet-stream"

/** @throws {@link NodeError} `CONFIG_INVALID` when the home's path is too long for a socket. */
export function socketPathOf(home: string): string {
  const path = homeLayout(home).socket
  const length = new TextEncoder().encode(path).length
  if (length > SOCKET_PATH_BYTES_MAX) {
    throw new NodeError(
      "CONFIG_INVALID",
      `socket path: expected at most ${SOCKET_PATH_BYTES_MAX} bytes, got ${length}`,
      { hint: "choose a home directory with a shorter path (--home DIR)" },
    )
  }
  return path
}
