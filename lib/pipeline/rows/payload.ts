/**
 * Row format 2: the content of a frame, points of one stream together with their anomalies. Numbers are big-endian.
 *
 *   +0     u32  n: bytes of telemetry rows
 *   +4     u8   id of the stream; 0 is that of `telemetry`, too
 *   +5     u24  anomaly rows
 *   +8     n bytes of telemetry rows (rows.ts)
 *   +8+n   anomaly rows to the end (anomaly-rows.ts), in the order of their points
 *
 * Before there were streams, the byte of the stream was the highest of the number of anomalies, and 0. It still is for
 * `telemetry`, so that earlier versions read these frames. Format 1 was telemetry rows only, without this header.
 */
import { strict as assert } from 'node:assert'
import { STREAM_ID_MAX, TELEMETRY_ID } from '../../../protocol/catalogue.js'

export const ROW_FORMAT = 2

export const PAYLOAD_HEADER_BYTES = 8
/** Far more than fit into a batch. */
export const ANOMALY_ROWS_MAX = 2 ** 24 - 1

export interface PayloadHeader {
  readonly streamId: number
  readonly telemetryBytes: number
  readonly anomalyRows: number
}

/** Fills in the header, in the first bytes of the payload, which were left free for it. */
export function writePayloadHeader (
  payload: Buffer, { streamId, telemetryBytes, anomalyRows }: PayloadHeader
): void {
  assert(streamId >= TELEMETRY_ID && streamId <= STREAM_ID_MAX && anomalyRows <= ANOMALY_ROWS_MAX, 'a header fits')
  payload.writeUInt32BE(telemetryBytes, 0)
  payload.writeUInt8(streamId === TELEMETRY_ID ? 0 : streamId, 4)
  payload.writeUIntBE(anomalyRows, 5, 3)
}

/** The id of the stream whose points these are. */
export function streamIdOf (payload: Buffer): number {
  const id = payload.readUInt8(4)
  return id === 0 ? TELEMETRY_ID : id
}

/** The telemetry rows of a payload, as a view. */
export function telemetryOf (payload: Buffer): Buffer {
  return payload.subarray(PAYLOAD_HEADER_BYTES, telemetryEnd(payload))
}

/** The anomaly rows of a payload, as a view. */
export function anomaliesOf (payload: Buffer): Buffer {
  return payload.subarray(telemetryEnd(payload))
}

export function anomalyCountOf (payload: Buffer): number {
  return payload.readUIntBE(5, 3)
}

function telemetryEnd (payload: Buffer): number {
  const end = PAYLOAD_HEADER_BYTES + payload.readUInt32BE(0)
  if (end > payload.length) throw new RangeError(`telemetry ends at ${end} in a payload of ${payload.length} bytes`)
  return end
}
