/** How tests look at decoders: bytes are refused with a code, or come back as they were. */

import { equalBytes } from "../../protocol/bytes.ts"
import { refusal } from "./refusal.ts"

/** `canonical`, the code of the refusal, or `changed` when the value encodes to other bytes. */
export function decoding<T>(
  bytes: Uint8Array,
  decode: (bytes: Uint8Array) => T,
  encode: (value: T) => Uint8Array,
): string {
  let again: Uint8Array | undefined
  const code = refusal(() => {
    again = encode(decode(bytes))
  })
  if (code !== undefined) return code
  return again !== undefined && equalBytes(again, bytes) ? "canonical" : "changed"
}
