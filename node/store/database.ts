/**
 * The node's database as the rest of the node sees it.
 *
 * One write is one batch, and a batch that has resolved is on the disk: an acknowledgement or a
 * signature may follow it. All access to the engine goes through this interface.
 */

export type Operation =
  | { readonly type: "put"; readonly key: string; readonly value: Uint8Array }
  | { readonly type: "delete"; readonly key: string }

export interface Range {
  /** Only keys that start with this. */
  readonly prefix: string
  /** Only keys at or after this one. */
  readonly from?: string
  /** Only keys before this one. */
  readonly until?: string
  readonly limit?: number
  readonly reverse?: boolean
}

/**
 * Keys are ASCII text, ordered bytewise; values are bytes with a checksum of the store's own.
 *
 * Failures: `STORE_FAILED` (the node must stop acknowledging and end), `STORE_FULL` (below the
 * free-space floor; nothing was written), `STORE_DAMAGED` (a value does not match its checksum).
 */
export interface Database {
  get(key: string): Promise<Uint8Array | undefined>
  /** In key order. */
  range(range: Range): AsyncIterable<readonly [key: string, value: Uint8Array]>
  /** Atomic and synced. `urgent` writes pass the free-space floor of bulk (hotline, receipts). */
  write(operations: readonly Operation[], options?: { urgent?: boolean }): Promise<void>
  close(): Promise<void>
}
