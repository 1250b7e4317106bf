/**
 * How the limits along the whole path fit together, from a body to a COPY. Each number is defined where it is used.
 *
 *   body ──► points (POINTS_MAX) ──► batch (BATCH_BYTES_MAX) = frame ≤ group ≤ segment ≤ the slot's share of the spool
 *                                          └──────────────────────── ≤ COPY
 *
 *   frame ──► parts (FRAME_PARTS_MAX) = messages of the log; WINDOW_FRAMES of them ≤ what a log server queues
 *
 *   question ──► wait for a connection + query (RUN_MS_MAX) ──► answer, all within DATA_TIMEOUT_MS
 *
 *   answer (ANSWER_BYTES_MAX) ──► all to workers (PASSING_BYTES_MAX)
 *                            └──► all unread by clients of a worker (UNREAD_BYTES_MAX)
 *
 *   body of one point (POINT_BODY_BYTES_MAX) ≥ the largest point; chunks of a body (CHUNKS_MAX) ≥ two a line,
 *   however short the lines (TINY_CHUNKS_MAX, TINY_CHUNK_BYTES)
 *
 *   tokens (TOKENS_MAX) ≤ clients (CLIENTS_MAX) ──► messages (USES_MAX) in the second that a bucket holds
 *                └──► their satellites (SATELLITES_TOTAL_MAX) ──► with the clients, memory of an HTTP worker
 *
 *   keys (UDP_KEYS_MAX) ──► tables (TABLES_MAX) × senders (SENDERS_PER_KEY_MAX) ──► memory of a UDP worker
 *                                                  └──► their last numbers, one text on disk
 *
 * The batcher splits a body that exceeds a batch. So a point must fit a batch, and a batch must fit everything behind
 * it.
 */
import { strict as assert } from 'node:assert'
import { constants } from 'node:buffer'
import { SATELLITES_TOTAL_MAX, TOKENS_MAX } from '../access/token-file.js'
import { UDP_KEYS_MAX } from '../access/udp-key.js'
import { SLOT_SPOOL_BYTES_MIN } from '../config/settings.js'
import { RUN_MS_MAX } from '../database/query-pool.js'
import { CONNECTIONS_MAX } from '../host/connections-max.js'
import { POINT_BODY_BYTES_MAX } from '../ingress/http/api/points.js'
import { CLIENT_BYTES, CLIENTS_MAX, USES_MAX, USES_MS } from '../ingress/http/clients/rates.js'
import { SEEN_BYTES } from '../ingress/http/clients/satellite-quota.js'
import { CHUNKS_MAX, TINY_CHUNKS_MAX, TINY_CHUNK_BYTES } from '../ingress/http/engines/body.js'
import { BODY_STALL_MS, IDLE_MS } from '../ingress/http/engines/engine.js'
import { DISCARDED_BYTES_MAX, LINGERING_MAX } from '../ingress/http/engines/lingering.js'
import { REQUESTS_MAX } from '../ingress/http/engines/node/node.js'
import { SMALL_ANSWER_BYTES, UNREAD_BYTES_MAX } from '../ingress/http/engines/unread-total.js'
import { TABLES_MAX } from '../ingress/udp/key-ring.js'
import { KEYED_SENDER_BYTES, SENDERS_PER_KEY_MAX } from '../ingress/udp/keyed-senders.js'
import { HELD_BYTES_MAX, HELD_OVERHEAD_BYTES } from '../ingress/udp/dgram-listener.js'
import { LIMIT_SET_BYTES_MAX } from '../limits/validate.js'
import { BATCH_BYTES_MAX, pointBytesMax } from '../pipeline/batcher.js'
import { pointAnomalyBytesMax } from '../pipeline/rows/anomaly-rows.js'
import { rowBytesMax } from '../pipeline/rows/rows.js'
import { LOG_MESSAGE_BYTES, SERVER_QUEUE_MAX } from '../replicated/jetstream.js'
import { FRAME_PARTS_MAX, MESSAGE_HEADER_BYTES, partsOf } from '../replicated/message.js'
import { WINDOW_FRAMES } from '../replicated/publish/publisher.js'
import { FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX } from '../spool/format/record.js'
import { SEGMENT_HEADER_BYTES } from '../spool/format/segment.js'
import { SEGMENT_BYTES } from '../spool/spool.js'
import { GROUP_BYTES_MAX } from '../spool/writer.js'
import { POINTS_MAX } from '../../protocol/columns.js'
import { NUMBER_BYTES_MAX } from '../../protocol/json/fast-reader.js'
import { METRICS_MAX, NAME_BYTES_MAX, type PointSchema } from '../../protocol/schema.js'
import { PACKET_BYTES_MAX, SENDER_CHARACTERS_MAX } from '../../protocol/packet/packet.js'
import { COPY_BYTES_MAX } from '../lane/lane.js'
import { DATA_TIMEOUT_MS } from '../worker/primary-client.js'
import { ANSWER_BYTES_MAX, PASSING_BYTES_MAX } from './answers/passing-answers.js'

/** Smallest row in a packet without its values: the array's head, an id of one character, and a time of one byte. */
const PACKET_ROW_HEAD_BYTES_MIN = 4
/** For a question and its answer between two processes. */
const MESSAGES_MS = 400
/** What Node.js reads from a socket at once. */
const READ_BYTES = 64 * 1024
/** A bucket of a client holds what one second brings. */
const BUCKET_MS = 1_000
/** For clients and what is known of them, in each HTTP worker. */
const CLIENTS_BYTES_MAX = 256 * 1024 * 1024
/** Quotes, colon and comma of a field. */
const FIELD_OVERHEAD_BYTES = 4
const SHORTEST_LINE_BYTES = '{"satellite_id":"a","b":1}\n'.length
/** For the senders of all keys, in each UDP worker. */
const KEYED_SENDERS_BYTES_MAX = 256 * 1024 * 1024
/** Two units a character, each escaped, and two numbers with their names. */
const MARK_BYTES_MAX = SENDER_CHARACTERS_MAX * 2 * 6 + 80
/** What a null saves against a value in a stored row. */
const NULL_SAVES_BYTES = 8

/** Called when the server starts. @throws {AssertionError} a number was changed without the ones that depend on it */
export function assertBounds (schema: PointSchema): void {
  const frameBytesMax = FRAME_HEADER_BYTES + BATCH_BYTES_MAX
  assert(pointBytesMax(schema) <= BATCH_BYTES_MAX, 'a point fits a batch')
  assert(BATCH_BYTES_MAX <= FRAME_PAYLOAD_BYTES_MAX, 'a batch fits a frame')
  assert(frameBytesMax <= GROUP_BYTES_MAX, 'a frame fits a group')
  assert(SEGMENT_HEADER_BYTES + GROUP_BYTES_MAX <= SEGMENT_BYTES, 'a group fits a segment')
  assert(SEGMENT_HEADER_BYTES + frameBytesMax <= SLOT_SPOOL_BYTES_MIN, 'a frame fits the smallest spool of a slot')
  assert(BATCH_BYTES_MAX <= COPY_BYTES_MAX.http, 'a batch fits a COPY')
  const partsMax = partsOf(BATCH_BYTES_MAX, LOG_MESSAGE_BYTES.min)
  assert(FRAME_HEADER_BYTES < LOG_MESSAGE_BYTES.min, 'the header of a frame fits the smallest message of the log')
  assert(partsMax <= FRAME_PARTS_MAX, 'the parts of a frame can be numbered')
  assert(WINDOW_FRAMES * partsMax <= SERVER_QUEUE_MAX.messages, 'a log server queues the messages of a window')
  assert(WINDOW_FRAMES * (frameBytesMax + partsMax * MESSAGE_HEADER_BYTES) <= SERVER_QUEUE_MAX.bytes,
    'a log server queues the bytes of a window')
  assert(RUN_MS_MAX + MESSAGES_MS < DATA_TIMEOUT_MS, 'a worker waits until its query has timed out')
  assert(ANSWER_BYTES_MAX <= PASSING_BYTES_MAX, 'the largest answer reaches its worker')
  assert(ANSWER_BYTES_MAX <= UNREAD_BYTES_MAX, 'a worker can keep the largest answer for its client')
  assert(LIMIT_SET_BYTES_MAX < ANSWER_BYTES_MAX, 'the largest set of limits can be read')
  assert(SMALL_ANSWER_BYTES <= UNREAD_BYTES_MAX, 'a worker can keep a small answer for its client')
  assert(LINGERING_MAX * READ_BYTES <= UNREAD_BYTES_MAX, 'connections about to be closed keep no more than clients do')
  assert(2 * CONNECTIONS_MAX <= REQUESTS_MAX, 'each connection may have a request, and another one behind it')
  assert(IDLE_MS - BODY_STALL_MS > 0, 'a stalled body is answered before its connection is closed for being idle')
  const pointTextBytes = METRICS_MAX * (NAME_BYTES_MAX + NUMBER_BYTES_MAX + FIELD_OVERHEAD_BYTES)
  assert(pointTextBytes * 3 / 2 <= POINT_BODY_BYTES_MAX, 'the largest point fits a body, with room for id and blanks')
  assert(POINT_BODY_BYTES_MAX >= DISCARDED_BYTES_MAX, 'nothing is read of a body too large for a point')
  assert(2 * POINTS_MAX <= CHUNKS_MAX, 'every line of a body can be a chunk, and its end another')
  assert(2 * POINTS_MAX <= TINY_CHUNKS_MAX + POINTS_MAX * SHORTEST_LINE_BYTES / TINY_CHUNK_BYTES,
    'even if every line is as short as a point can be')
  const addresses = CLIENTS_MAX - TOKENS_MAX
  assert(addresses >= TOKENS_MAX, 'a worker remembers the clients of all tokens, and as many addresses')
  assert(CLIENTS_MAX / USES_MAX * USES_MS <= BUCKET_MS, 'workers know of all clients while their buckets are filled')
  assert(CLIENTS_MAX * CLIENT_BYTES + SATELLITES_TOTAL_MAX * SEEN_BYTES <= CLIENTS_BYTES_MAX,
    'clients and their satellites fit into memory')
  assert(UDP_KEYS_MAX <= TABLES_MAX, 'every key has a table of senders')
  const senders = TABLES_MAX * SENDERS_PER_KEY_MAX
  assert(senders * KEYED_SENDER_BYTES <= KEYED_SENDERS_BYTES_MAX, 'the senders of all keys fit into memory')
  assert(senders * MARK_BYTES_MAX <= constants.MAX_STRING_LENGTH, 'the last numbers of all senders fit into a text')
  assert(PACKET_BYTES_MAX + HELD_OVERHEAD_BYTES <= HELD_BYTES_MAX, 'a packet can be held for a worker that takes over')
  // COPYs of UDP workers are smaller: a larger batch becomes a COPY by itself.
  assert(packetStoredBytesMax(schema) <= 8 * BATCH_BYTES_MAX, 'a packet is a few batches at most')
}

/** What one packet can become, as rows and anomalies: many short rows, or few long ones. */
function packetStoredBytesMax (schema: PointSchema): number {
  const { metricCount } = schema
  const anomalyBytes = pointAnomalyBytesMax(schema) / metricCount
  const sizes = schema.metrics.map((_, index) => {
    const values = index + 1
    const rowBytes = rowBytesMax(schema) - (metricCount - values) * NULL_SAVES_BYTES + values * anomalyBytes
    return Math.ceil(PACKET_BYTES_MAX / (PACKET_ROW_HEAD_BYTES_MIN + values)) * rowBytes
  })
  return Math.max(...sizes)
}
