/**
 * Assertions: broken promises of ours, never of a peer.
 *
 * They stay on in production. Input from a peer, a user or a disk is refused with a coded error
 * (errors.ts) instead.
 */

/** Ends the calling path with an `AssertionError` when our own reasoning turns out to be wrong. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/** A mistake in this program. Never caught but at the very top of a process. */
export class AssertionError extends Error {
  override readonly name = "AssertionError"
}
