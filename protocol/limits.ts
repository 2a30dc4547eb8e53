/**
 * Every size, count and time limit of the protocol, with its unit (PROTOCOL §13).
 * Nothing that a peer, a file or a user sends is larger than a number on this page.
 */

const KIB = 1_024
const MIB = 1_024 * KIB
const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

// --- sizes of suite 1, in bytes -------------------------------------------------------------
export const HASH_BYTES = 32
export const ED25519_KEY_BYTES = 32
export const ED25519_SIGNATURE_BYTES = 64
export const MLDSA44_KEY_BYTES = 1_312
export const MLDSA44_SIGNATURE_BYTES = 2_420
export const MLDSA65_KEY_BYTES = 1_952
export const MLDSA65_SIGNATURE_BYTES = 3_309
/** ML-DSA-65 ‖ Ed25519. */
export const COMPOSITE_KEY_BYTES = 1_984
export const COMPOSITE_SIGNATURE_BYTES = 3_373
/** Composite private key as stored: ML-DSA seed 32 ‖ Ed25519 seed 32. */
export const COMPOSITE_SEED_BYTES = 64
/** X-Wing public key: ML-KEM-768 1,184 ‖ X25519 32. */
export const KEM_KEY_BYTES = 1_216
export const KEM_SEED_BYTES = 32
/** X-Wing ciphertext: ML-KEM-768 1,088 ‖ X25519 32. */
export const KEM_CIPHERTEXT_BYTES = 1_120
/** Private keys of Ed25519, X25519 and ML-DSA as stored. */
export const SEED_BYTES = 32
export const X25519_KEY_BYTES = 32
export const MLKEM768_KEY_BYTES = 1_184
export const MLKEM768_CIPHERTEXT_BYTES = 1_088
/** d ‖ z of FIPS 203. */
export const MLKEM768_SEED_BYTES = 64
export const AEAD_KEY_BYTES = 32
export const AEAD_NONCE_BYTES = 12
export const AEAD_TAG_BYTES = 16
/** Context of an ML-DSA or composite signature. */
export const SIGNATURE_CONTEXT_BYTES_MAX = 255
/** 255 blocks of SHA-256 (RFC 5869 §2.3). */
export const HKDF_OUTPUT_BYTES_MAX = 255 * HASH_BYTES
/** 255 blocks of SHA-512. */
export const HKDF_SHA512_OUTPUT_BYTES_MAX = 255 * 64
/** HPKE encapsulation ‖ sealed content secret (32 + 16). */
export const WRAP_BYTES = KEM_CIPHERTEXT_BYTES + 48

// --- envelope -------------------------------------------------------------------------------
/** Plaintext of one chunk of the body (C2SP chunked encryption). */
export const BODY_CHUNK_BYTES = 16 * KIB
/** Salt 24 ‖ commitment 32, in front of the chunks. */
export const BODY_SALT_BYTES = 24
export const BODY_HEADER_BYTES = 56
/** Ciphertext of one piece under bodyRoot. */
export const BODY_PIECE_BYTES = 64 * KIB
/** Smallest padded plaintext. */
export const PADDED_BYTES_MIN = 1 * KIB
/** Leaves of every wraps tree. */
export const WRAPS_LEAVES = 128
/** Hashes of every path in a wraps tree: log2 of {@link WRAPS_LEAVES}. */
export const WRAPS_PATH_HASHES = 7
/** Addressees of a cable, action and info together. */
export const CABLE_RECIPIENTS_MAX = 81
export const EXEMPTED_MAX = 81
/** Padded plaintext of every signal. */
export const SIGNAL_PLAINTEXT_BYTES = 8_192
/** All text of a signal together, in bytes of UTF-8. */
export const SIGNAL_TEXT_BYTES_MAX = 3_000
export const SIGNAL_RECIPIENTS_MAX = 16
/** A language tag such as "bn" or "en". */
export const SIGNAL_LANGUAGE_BYTES_MAX = 16
/** Deepest nesting of arrays that a decoder follows where it keeps a value as bytes. */
export const NESTING_MAX = 16
/** Largest core or header, in bytes. */
export const HEADER_BYTES_MAX = 1 * KIB
/** Officer signatures in a release record. */
export const RELEASE_SIGNATURES_MAX = 4
/** Largest release record, in bytes. */
export const RELEASE_BYTES_MAX = 16 * KIB

// --- cable ----------------------------------------------------------------------------------
/** Text caps by precedence, in bytes of UTF-8 after NFC. */
export const CABLE_TEXT_BYTES_MAX_FLASH = 16 * KIB
export const CABLE_TEXT_BYTES_MAX_IMMEDIATE = 1 * MIB
/** PRIORITY and below; also the largest text at all. */
export const CABLE_TEXT_BYTES_MAX = 16 * MIB
export const CABLE_SUBJECT_BYTES_MAX = 1 * KIB
export const CABLE_REFERENCES_MAX = 32
export const CABLE_REFERENCE_BYTES_MAX = 256
export const CABLE_CAVEATS_MAX = 16
export const CABLE_CAVEAT_BYTES_MAX = 64
export const CABLE_ORIGIN_REF_BYTES_MAX = 128
export const CABLE_SUBJECT_CODES_MAX = 16
/** Characters, not bytes, of one subject code (RFC 6477). */
export const CABLE_SUBJECT_CODE_CHARS_MAX = 8
/** "211935Z JUL 67": empty or exactly this long. */
export const CABLE_DTG_BYTES = 14
/** Padmé adds at most 12 %; content and release records fit in 1 MiB beside the text. */
export const ENVELOPE_PLAINTEXT_BYTES_MAX = 19 * MIB
/** Largest copy of an envelope as it travels. Must exceed the plaintext cap and its overhead. */
export const ENVELOPE_BYTES_MAX = 20 * MIB

// --- identities -----------------------------------------------------------------------------
export const MISSION_CODE_BYTES_MAX = 8
export const MISSION_NAME_BYTES_MAX = 256
export const MISSION_ADDRESSES_MAX = 8
export const MISSION_ADDRESS_BYTES_MAX = 256
export const OFFICER_NAME_BYTES_MAX = 128
export const OFFICERS_PER_REQUEST_MAX = 4
export const MISSIONS_MAX = 128
/** Largest genesis file. */
export const GENESIS_BYTES_MAX = 4 * MIB
/** Largest request file of a mission. */
export const REQUEST_BYTES_MAX = 40 * KIB
/** Largest invitation to found a network: 16 governance members and 128 seats fit. */
export const INVITATION_BYTES_MAX = 64 * KIB
/** Largest founding record: a request, and the proofs of a validator's four keys. */
export const FOUNDING_BYTES_MAX = 48 * KIB
/** Largest statement of a validator's keys. */
export const VALIDATOR_BYTES_MAX = 4 * KIB
/** Members of governance; thresholds are at most this. */
export const GOVERNANCE_MEMBERS_MAX = 16
/** Proposals of one member that wait for ballots; its oldest makes room. */
export const OPEN_PROPOSALS_PER_MEMBER_MAX = 16
/** Largest statement of a ballot. */
export const BALLOT_BYTES_MAX = 1 * KIB
/** Blocks for which a proposal of our own may wait for its ballots. */
export const PROPOSAL_BLOCKS = 100_000
/** Epoch keys in one entry. */
export const EPOCH_KEYS_PER_ENTRY_MAX = 32
/** Length of a key epoch. */
export const EPOCH_MS = DAY_MS
/** Epochs that a connected node keeps published: the current one and two ahead. */
export const EPOCHS_AHEAD = 2
/** So long after its block a publication of epoch keys may claim to be made: clocks are wrong. */
export const EPOCH_KEYS_AHEAD_MS = 2 * DAY_MS
/** Epochs ahead that the directory accepts (announced isolation). */
export const EPOCHS_AHEAD_MAX = 60
/** How often a node looks whether a new day asks for new keys. */
export const EPOCH_CHECK_MS = 10 * MINUTE_MS
/** Contact time after the end of its epoch for which a key is kept: by default, and at most. */
export const EPOCH_KEY_KEEP_HOURS = 72
export const EPOCH_KEY_KEEP_HOURS_MAX = 60 * 24

// --- ledger ---------------------------------------------------------------------------------
export const ENTRY_HEAD_BYTES = 54
/** Head and payload of one entry; the bundle format counts in u16. */
export const ENTRY_BYTES_MAX = 65_535
export const BATCH_ENTRIES_MAX = 256
export const BATCH_BYTES_MAX = 66 * KIB
export const BLOCK_HEADER_BYTES = 166
/** Batches in a block; what a leader takes, or one in any case: at most, at first, at least. */
export const BLOCK_BYTES_MAX = 4 * MIB
export const BLOCK_BATCHES_MAX = 4_096
export const TAKE_BYTES_MAX = 1 * MIB
export const TAKE_BYTES_START = 256 * KIB
export const TAKE_BYTES_MIN = 16 * KIB
export const VALIDATORS_MAX = 16
/** Consensus bound Δ, for the whole network by its genesis: by default, at least and at most. */
export const CONSENSUS_DELTA_MS = 500
export const CONSENSUS_DELTA_MS_MIN = 250
export const CONSENSUS_DELTA_MS_MAX = 2 * SECOND_MS
/** A block as it travels and stands in a copy: its batches, header and certificate. */
export const STORED_BLOCK_BYTES_MAX = BLOCK_BYTES_MAX + 64 * KIB
/** Blocks below a final one that its certificate makes final with it. */
export const UNFINAL_BLOCKS_MAX = 256
/** Blocks in one catch-up answer. */
export const BLOCKS_PER_ANSWER_MAX = 256
/** Batches that wait for a block, in bytes: of all submitters, and of one. */
export const MEMPOOL_BYTES_MAX = 16 * MIB
export const MEMPOOL_SUBMITTER_BYTES_MAX = 2 * MIB
/** Batches of one peer that are verified in a second and turn out to be of no use. */
export const VAIN_BATCHES_PER_S_MAX = 64
/** Votes are taken for views from this far below the last final view … */
export const VOTE_VIEWS_BEHIND = 20
/** … to this far above the current one. */
export const VOTE_VIEWS_AHEAD = 50
/** Views below the final one whose certificates are held while their blocks are missing. */
export const BLAME_VIEWS_MAX = 1_024
/** Proposals are kept for views up to this far above the current one, one each. */
export const PROPOSAL_VIEWS_AHEAD = 2
/** Blocks with entries that may stand above the last final one; empty ones may go on. */
export const UNFINAL_CONTENT_MAX = 16
/** Timers of a view, in Δ: for its proposal, in all, between retries; and how many times longer. */
export const LEADER_DELTAS = 2
export const VIEW_DELTAS = 3
export const RETRY_DELTAS = 2
export const PATIENCE_MAX = 4
/** How long the highest notarized block may stay unfinal before it is pursued, in Δ. */
export const TIP_DELTAS = 4
/** A leader that was silent for so long is not waited for. */
export const SKIP_MS = 30 * SECOND_MS
/** Interval of the heartbeat, in which validators tell their final view. */
export const HEARTBEAT_MS = 10 * SECOND_MS
/** After so many forged messages of a validator within Δ, the rest of its Δ is not read. */
export const FORGERIES_PER_DELTA_MAX = 4
/** Views that one message may ask certificates of, and messages in one packet. */
export const FETCH_VIEWS_MAX = 32
export const PACKET_MESSAGES_MAX = 64
/** Packets under way to one validator, and messages that wait for a place among them. */
export const PACKETS_IN_FLIGHT_MAX = 8
export const PACKET_QUEUE_MAX = 256
/** A packet without an answer holds its place no longer: others are of more use by then. */
export const PACKET_TIMEOUT_MS = 2 * SECOND_MS
/** Large blocks that wait to be sent to one validator; an older one is of no use any more. */
export const BLOCK_QUEUE_MAX = 2
/** Batches that are submitted together, in bytes; the largest batch fits. */
export const SUBMIT_BYTES = 256 * KIB
/** Evidence that is kept against one validator. */
export const EVIDENCE_PER_SIGNER_MAX = 16
/** Random bytes that tell two runs of one validator apart. */
export const BOOT_NONCE_BYTES = 16
/** A run of a validator is alive if it was heard so lately and its connection is not closed. */
export const RUN_LIVE_MS = (5 * HEARTBEAT_MS) / 2
/** What a dead process has sent is here by then, or cut off by the link check: three of them. */
export const RUN_LATE_MS = 30 * SECOND_MS
/** Largest piece of evidence: two votes of 111 bytes and their frame. */
export const EVIDENCE_BYTES_MAX = 512
/** A validator does not vote for a block dated further ahead of its own clock. */
export const BLOCK_AHEAD_MS = HOUR_MS
/** Longest path in a proof: a tree of 2^53 leaves has no longer one. */
export const PROOF_PATH_HASHES_MAX = 53
/** Largest proof file: entry and opening, a path of 53 hashes, and a checkpoint of 16 lines. */
export const PROOF_BYTES_MAX = 80 * KIB

// --- publication of the ledger ----------------------------------------------------------------
/** Hashes in a tile, entries in a bundle. */
export const TILE_WIDTH = 256
/** Longest origin: names of cosigners begin with its first part. */
export const ORIGIN_BYTES_MAX = 200
/** Longest name in a note; one byte counts it in what a 0x06 key signs. */
export const NOTE_NAME_BYTES_MAX = 255
/** Signature lines that are read; tools of others refuse more. */
export const NOTE_LINES_MAX = 100
/** Signature lines of a checkpoint that is given out; readers must take as many. */
export const CHECKPOINT_LINES_MAX = 16
/** ML-DSA-44 lines in a proof file, which is to stay short. */
export const PROOF_PQ_LINES_MAX = 1
/** Largest note: 100 lines of ML-DSA-44. */
export const NOTE_BYTES_MAX = 384 * KIB
/** Largest checkpoint of at most 16 lines, as it travels between validators. */
export const CHECKPOINT_BYTES_MAX = 64 * KIB
/** Largest policy file: two keys of each mission, ML-DSA-44 among them. */
export const POLICY_BYTES_MAX = 512 * KIB
/** Largest file of a publication: 256 of the largest entries. */
export const PUBLISHED_FILE_BYTES_MAX = 17 * MIB
/** Files of a publication that are written to the disk at the same time. */
export const PUBLISHED_FILES_WRITING_MAX = 16
/** Sizes for which a validator collects cosignatures: its newest, and those that missions sign. */
export const COSIGN_SIZES_MAX = 8
export const WITNESSED_SIZES_MAX = 4
/** Shortest interval between a validator's ML-DSA-44 cosignatures, and between a mission's. */
export const COSIGN_PQ_MS = 5 * SECOND_MS
export const WITNESS_MS = HOUR_MS
/** Signatures under checkpoints that a validator verifies for one peer in a second. */
export const COSIGN_VERIFIES_MAX = 128
/** Of so many missions one may be corrupt: 10 of 81 (LEDGER §15.5). */
export const MISSIONS_PER_CORRUPT = 8
/** Batches in one submission. */
export const SUBMIT_BATCHES_MAX = 64
/** Entries that come within so long of a batch go together into the next one. */
export const SUBMIT_QUIET_MS = 25
/** Entries that are not final after so long are sent again; doubles up to {@link RETRY_MAX_MS}. */
export const SUBMIT_RESEND_MS = 10 * SECOND_MS
/** How long a validator that has just made a block collects entries for the next one. */
export const BLOCK_LINGER_MS = 25
/** Longest stretch of verifying blocks before other work gets its turn. */
export const VERIFY_SLICE_MS = 10
/** A validator whose consensus log is not written after so long is silent until it is. */
export const LOG_STALL_MS = 10 * SECOND_MS
/** The operator is told when more than one in a hundred of so many writes takes longer. */
export const LOG_SLOW_MS = 50
export const LOG_SLOW_SAMPLES = 100
/** The consensus log is rewritten without old records once in so many views … */
export const LOG_TRIM_VIEWS = 256
/** … or once it has grown by so many bytes of records. */
export const LOG_TRIM_BYTES = 32 * MIB
/** Blocks of one catch-up request, and their bytes that an answer stops at. */
export const SYNC_WINDOW_BLOCKS = 64
export const SYNC_ANSWER_BYTES = 1 * MIB
/** Catch-up requests under way and answers that wait for their turn, all together … */
export const SYNC_RANGES_MAX = 10
/** … and those under way to one peer that has shown itself good. */
export const SYNC_RANGES_PER_PEER_MAX = 4
/** Answers that wait for their turn, in bytes. */
export const SYNC_HELD_BYTES_MAX = 16 * MIB
/** How long all wait for one whom another could replace, doubling; then it is not listened to. */
export const SYNC_PATIENCE_MS = 5 * SECOND_MS
export const SYNC_REST_MS = 30 * SECOND_MS
/** How long a validator waits for consensus to bring a block before it fetches it. */
export const SYNC_VALIDATOR_WAIT_MS = 1 * SECOND_MS
/** A header with its certificate and {@link UNFINAL_BLOCKS_MAX} links, and the one below it. */
export const FINAL_HEADER_BYTES_MAX = 48 * KIB
/** Entries of a whole bundle: one row of the tree's tiles. */
export const BUNDLE_ENTRIES = 256
/** A bundle as it travels; who has a larger one is asked for blocks instead. */
export const BUNDLE_BYTES_MAX = 4 * MIB
/** Entries of which one request may ask which blocks they are in, and where an answer stops. */
export const HOLDERS_PER_REQUEST_MAX = 64
export const HOLDERS_ANSWER_BYTES = 256 * KIB
/** Entries that are taken over without their blocks at one time; halved where they are large. */
export const JUMP_ENTRIES_MAX = 64 * BUNDLE_ENTRIES
/** How long a node that fetches entries without their blocks waits for more of them. */
export const JUMP_PAUSE_MS = 60 * SECOND_MS
/** Blocks are fetched for so long before their rate is judged … */
export const SYNC_METER_MS = 10 * SECOND_MS
/** … and a link is poor that brings fewer bytes of them in a second. */
export const SYNC_POOR_BYTES_PER_S = 16 * KIB
/** Behind by more blocks than this a node on a poor link fetches entries without their blocks. */
export const SYNC_FAR_BLOCKS = 1_000
/** How long a peer that sent a wrong block or height is not asked again. */
export const SYNC_DISTRUST_MS = 10 * MINUTE_MS
/** How often a node asks a peer for its height while too few validators are in reach. */
export const SYNC_POLL_MS = 30 * SECOND_MS

// --- receipts -------------------------------------------------------------------------------
export const RECEIPTS_PER_BATCH_MAX = 256
/** Largest receipt: fixed fields and an officer's signature. */
export const RECEIPT_BYTES_MAX = 4 * KIB
/** Largest signed statement of a batch. */
export const RECEIPTS_STATEMENT_BYTES_MAX = 128
/** Longest path in a batch: log2 of {@link RECEIPTS_PER_BATCH_MAX}. */
export const RECEIPTS_PATH_HASHES_MAX = 8
/** Largest batch of receipts. */
export const RECEIPTS_BYTES_MAX = 1 * MIB
/** Longest wait before receipts are flushed together; FLASH, OVERRIDE and signals do not wait. */
export const RECEIPTS_FLUSH_MS = 5 * SECOND_MS
/** Shortest interval between two anchored roots of receipts. */
export const RECEIPTS_ANCHOR_MS = 60 * SECOND_MS

// --- transport ------------------------------------------------------------------------------
/** Payload of one frame on a stream. */
export const FRAME_BYTES_MAX = 64 * KIB
/** Bytes in flight on one stream that the receiver has not credited. */
export const STREAM_CREDIT_BYTES = 128 * KIB
/** Messages being reassembled in a node, all peers together. */
export const REASSEMBLY_BYTES_MAX = 24 * MIB
/** Part of {@link REASSEMBLY_BYTES_MAX} that only the urgent lane may use. */
export const REASSEMBLY_URGENT_BYTES = 4 * MIB
/** Header of a frame: type, flags, request id, length of the payload. */
export const FRAME_HEADER_BYTES = 10
/** Credit is given back in steps of at least this, so that it costs little. */
export const CREDIT_STEP_BYTES = 32 * KIB
/** Longest error code in a refusal. */
export const REFUSAL_CODE_BYTES_MAX = 64
/** Requests under way on one stream; a peer that opens more breaks the protocol. */
export const REQUESTS_PER_STREAM_MAX = 32
/** Requests to one peer in one protocol that wait for a place on the stream. */
export const REQUESTS_WAITING_MAX = 1_024
/** Breaches of the stream protocol after which a peer's connections are closed. */
export const STREAM_BREACHES_MAX = 3
/** Streams of one protocol on one connection and direction: one, and its successor. */
export const STREAMS_PER_PROTOCOL_MAX = 2
export const STREAMS_PER_CONNECTION_MAX = 32
/** Window of one stream in the muxer; must exceed the credit and its control frames. */
export const MUXER_WINDOW_BYTES = 256 * KIB
/** What the stack may hold for a paused reader; twice the window, or it resets the stream. */
export const STREAM_READ_BUFFER_BYTES_MAX = 512 * KIB
/** What the stack may hold for a slow link before it aborts the stream. */
export const STREAM_WRITE_BUFFER_BYTES_MAX = 1 * MIB
/** One WebSocket message; the encrypters write less. */
export const WEBSOCKET_MESSAGE_BYTES_MAX = 512 * KIB
/** Two lanes for each of {@link MISSIONS_MAX}, and room for connections that replace others. */
export const CONNECTIONS_MAX = 400
/** Connections of one peer: two lanes, dialled from both sides, and their successors. */
export const CONNECTIONS_PER_PEER_MAX = 8
export const PENDING_CONNECTIONS_MAX = 500
/** From the accepted socket to the proven key; four round trips of a satellite link fit. */
export const UPGRADE_TIMEOUT_MS = 5 * SECOND_MS
/** Application hello on a fresh connection. */
export const HELLO_TIMEOUT_MS = 5 * SECOND_MS
/** Dialling one peer, all of its addresses together. */
export const DIAL_TIMEOUT_MS = 10 * SECOND_MS
/** First and longest wait between two dials to a member that is kept connected. */
export const REDIAL_MIN_MS = 250
export const REDIAL_MAX_MS = 5 * SECOND_MS
/** An eager dial waits so long for the socket; now and then as long as others do. */
export const EAGER_CONNECT_MS = 1 * SECOND_MS
/** After a failed dial on demand, further requests to that peer fail at once for so long. */
export const DIAL_PAUSE_MS = 1 * SECOND_MS
/** Interval of the link check, and the longest wait for its answer, by lane. */
export const KEEPALIVE_URGENT_MS = 10 * SECOND_MS
export const KEEPALIVE_BULK_MS = 30 * SECOND_MS
/** How long a duplicate connection stays for what is under way on it. */
export const DUPLICATE_LINGER_MS = 30 * SECOND_MS
/** A small request; and what one who is behind asks for, while bytes come: 5 MiB at 8 KiB/s. */
export const REQUEST_TIMEOUT_MS = 30 * SECOND_MS
export const SYNC_ANSWER_TIMEOUT_MS = 15 * MINUTE_MS
/** Array head, version and head of a byte string, in front of what a message carries. */
export const MESSAGE_HEAD_BYTES_MAX = 16
/** Largest message that carries numbers alone. */
export const NUMBERS_BYTES_MAX = 64
/** Largest answer to a copy, receipts or a batch: a status, or a number. */
export const STATUS_BYTES_MAX = 1 * KIB
/** Largest copy of a signal as it travels, its head included. */
export const SIGNAL_MESSAGE_BYTES_MAX = 32 * KIB
/** Largest answer to a request for blocks; one block of the largest size always fits. */
export const BLOCKS_MESSAGE_BYTES_MAX = 2 * BLOCK_BYTES_MAX

// --- delivery -------------------------------------------------------------------------------
/** First and longest wait between two tries at one peer. */
export const RETRY_MIN_MS = 500
export const RETRY_MAX_MS = 5 * MINUTE_MS
export const RETRY_MAX_FLASH_MS = 60 * SECOND_MS
/** A short request is taken to be lost after so many times the wait before its next attempt. */
export const SHORT_TIMEOUT_RETRIES = 8
/** Cables that one addressee may have waiting here. */
export const OUTBOX_CABLES_PER_PEER_MAX = 10_000
/** Envelopes kept for others, in bytes. */
export const RELAY_BYTES_MAX = 2_048 * MIB
/** Wall clocks may differ by this much before a warning. */
export const CLOCK_SKEW_WARN_MS = 30 * SECOND_MS
/** A cable dated further ahead of the receiver's clock than this is shown with a warning. */
export const CLOCK_SKEW_MS = 5 * MINUTE_MS
/** How long a cable is kept for an addressee that does not answer. */
export const CABLE_LIFETIME_MS = 400 * DAY_MS
/** A signal that nobody displayed by then is reported as not displayed. */
export const SIGNAL_LIFETIME_MS = 24 * HOUR_MS

// --- a node's disk, keys and memory ---------------------------------------------------------
/** Longest key of the database, in bytes of ASCII. */
export const STORE_KEY_BYTES_MAX = 512
/** Writes that wait together are merged into batches of about this size. */
export const STORE_BATCH_BYTES_MAX = 8 * MIB
/** Entries, and bytes of them, that one step of an iteration holds. */
export const STORE_SLICE_ENTRIES = 256
export const STORE_SLICE_BYTES = 1 * MIB
/** Kept on disk for the day when the disk is full: LevelDB cannot reopen without some room. */
export const STORE_BALLAST_BYTES = 16 * MIB
/** Below these shares of free space bulk writes end, and small ones that are not urgent as well. */
export const STORE_BULK_FREE_PERCENT = 10
export const STORE_FREE_PERCENT = 5
/** From this size on a write is bulk. */
export const STORE_BULK_BYTES = 64 * KIB
/** Shortest interval between two looks at the free space. */
export const STORE_SPACE_CHECK_MS = 1_000
/** Payload of one record of the consensus log: a notarize record holds its block. */
export const WAL_RECORD_BYTES_MAX = BLOCK_BYTES_MAX + 64 * KIB
/** Largest consensus log; trimming keeps it far below. */
export const WAL_BYTES_MAX = 512 * MIB
/** Imported public keys that a process keeps, by kind; 81 missions and their officers fit. */
export const KEY_CACHE_ENTRIES_MAX = 1_024
/** Up to here the portable ChaCha20-Poly1305 is faster than the call into native code. */
export const SMALL_AEAD_BYTES_MAX = 256
/** A warning that a peer causes is told once in so long, and how often it came. */
export const WARNING_REPEAT_MS = MINUTE_MS
export const KEYSTORE_SECRETS_MAX = 256
export const KEYSTORE_NAME_BYTES_MAX = 64
/** Largest key file. */
export const KEYSTORE_BYTES_MAX = 64 * KIB
/** Argon2id parameters beyond these are refused before they are used. */
export const KDF_MEMORY_KIB_MAX = 2 * MIB
export const KDF_PASSES_MAX = 10
export const KDF_LANES_MAX = 16
export const PASSPHRASE_BYTES_MAX = 1 * KIB
/** Largest configuration file. */
export const CONFIG_BYTES_MAX = 64 * KIB
/** Longest path of a Unix socket that every supported system takes. */
export const SOCKET_PATH_BYTES_MAX = 103

// --- local API ------------------------------------------------------------------------------
/** Largest body of a request: the largest text, escaped for JSON, and the other fields. */
export const API_BODY_BYTES_MAX = CABLE_TEXT_BYTES_MAX + 4 * MIB
/** Bodies that are being read at one time, all clients together. */
export const API_BODIES_BYTES_MAX = 64 * MIB
export const API_CONNECTIONS_MAX = 32
/** Requests under way that one client process has; more of them wait in the client. */
export const API_CLIENT_REQUESTS_MAX = 8
/** Requests that one connection may bring, one after another. */
export const API_REQUESTS_PER_CONNECTION_MAX = 100
/** How often connections are looked at for the two limits of time that follow. */
export const API_TIMEOUT_CHECK_MS = 1 * SECOND_MS
/** From the accepted socket to the end of the request's headers, and to that of its body. */
export const API_HEADERS_TIMEOUT_MS = 5 * SECOND_MS
export const API_REQUEST_TIMEOUT_MS = 10 * SECOND_MS
/** A stream whose reader takes nothing for so long is closed. */
export const API_STALL_MS = MINUTE_MS
/** Events that are kept for readers which are behind or come back. */
export const API_EVENTS_KEPT = 1_024
/** What a client takes as one line of a stream. */
export const API_LINE_BYTES_MAX = 256 * KIB
/** What a client takes as an answer in JSON: a cable with the largest text, escaped. */
export const API_ANSWER_BYTES_MAX = 2 * CABLE_TEXT_BYTES_MAX + 4 * MIB
/** How long an answer of the node may take to begin. */
export const API_ANSWER_TIMEOUT_MS = 120 * SECOND_MS
/** How long the door waits for answers under way when the node stops. */
export const API_STOP_GRACE_MS = 2 * SECOND_MS
/** Lines of a list when nothing else is asked for, and at most. */
export const API_LIST_LIMIT = 50
export const API_LIST_LIMIT_MAX = 10_000
/** An id may be abbreviated to so many hex digits. */
export const ID_PREFIX_DIGITS_MIN = 6
/** Entries of one governance action. */
export const API_GOVERNANCE_ENTRIES_MAX = 8
/** Name of the screen that reports a signal as displayed. */
export const SEAT_BYTES_MAX = 64
