/**
 * Row format 2: the content of a frame, points together with their anomalies. Numbers are big-endian.
 *
 *   +0     u32  n: bytes of telemetry rows
 *   +4     u32  anomaly rows
 *   +8     n bytes of telemetry rows (rows.ts)
 *   +8+n   anomaly rows to the end (anomaly-rows.ts), in the order of their points
 *
 * Format 1 was telemetry rows only, without this header.
 */
export const ROW_FORMAT = 2

export const PAYLOAD_HEADER_BYTES = 8

/** Fills in the header, in the first bytes of the payload, which were left free for it. */
export function writePayloadHeader (payload: Buffer, telemetryBytes: number, anomalyRows: number): void {
  payload.writeUInt32BE(telemetryBytes, 0)
  payload.writeUInt32BE(anomalyRows, 4)
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
  return payload.readUInt32BE(4)
}

function telemetryEnd (payload: Buffer): number {
  const end = PAYLOAD_HEADER_BYTES + payload.readUInt32BE(0)
  if (end > payload.length) throw new RangeError(`telemetry ends at ${end} in a payload of ${payload.length} bytes`)
  return end
}
