/**
 * How the limits along the whole path fit together, from a body to a COPY. Each number is defined where it is used.
 *
 *   body ──► points (POINTS_MAX) ──► batch (BATCH_BYTES_MAX) = frame ≤ group ≤ segment ≤ the slot's share of the spool
 *                                          └──────────────────────── ≤ COPY
 *
 *   question ──► wait for a connection + query (RUN_MS_MAX) ──► answer, all within DATA_TIMEOUT_MS
 *
 *   answer (ANSWER_BYTES_MAX) ──► all to workers (PASSING_BYTES_MAX)
 *                            └──► all unread by clients of a worker (UNREAD_BYTES_MAX)
 *
 * The batcher splits a body that exceeds a batch. So a point must fit a batch, and a batch must fit everything behind
 * it.
 */
import { strict as assert } from 'node:assert'
import { SLOT_SPOOL_BYTES_MIN } from '../config/settings.js'
import { RUN_MS_MAX } from '../database/query-pool.js'
import { UNREAD_BYTES_MAX } from '../ingress/http/engines/unread-total.js'
import { LIMIT_SET_BYTES_MAX } from '../limits/validate.js'
import { BATCH_BYTES_MAX, pointBytesMax } from '../pipeline/batcher.js'
import { pointAnomalyBytesMax } from '../pipeline/rows/anomaly-rows.js'
import { rowBytesMax } from '../pipeline/rows/rows.js'
import { FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX } from '../spool/format/record.js'
import { SEGMENT_HEADER_BYTES } from '../spool/format/segment.js'
import { SEGMENT_BYTES } from '../spool/spool.js'
import { GROUP_BYTES_MAX } from '../spool/writer.js'
import type { PointSchema } from '../../protocol/schema.js'
import { PACKET_BYTES_MAX } from '../../protocol/packet/packet.js'
import { COPY_BYTES_MAX } from '../lane/lane.js'
import { DATA_TIMEOUT_MS } from '../worker/ask-primary.js'
import { ANSWER_BYTES_MAX, PASSING_BYTES_MAX } from './answers/passing-answers.js'

/** Smallest row in a packet without its values: the array's head, an id of one character, and a time of one byte. */
const PACKET_ROW_HEAD_BYTES_MIN = 4
/** For a question and its answer between two processes. */
const MESSAGES_MS = 400
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
  assert(RUN_MS_MAX + MESSAGES_MS < DATA_TIMEOUT_MS, 'a worker waits until its query has timed out')
  assert(ANSWER_BYTES_MAX <= PASSING_BYTES_MAX, 'the largest answer reaches its worker')
  assert(ANSWER_BYTES_MAX <= UNREAD_BYTES_MAX, 'a worker can keep the largest answer for its client')
  assert(LIMIT_SET_BYTES_MAX < ANSWER_BYTES_MAX, 'the largest set of limits can be read')
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
