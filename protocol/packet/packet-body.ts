/**
 * Msgpack bodies of HTTP requests, with the interface of the JSON decoders: null, or the fault of a refused body.
 * Only the points of a frame matter; its sequence is ignored, since HTTP answers every request.
 */
import type { PointColumns } from '../columns.js'
import type { DecodeFault } from '../faults.js'
import { decodePacket } from './packet.js'
import type { DecodeRules } from '../point.js'
import type { SatelliteTable } from '../satellites.js'

type Decoder = (
  body: Buffer, nowMicros: number, rules: DecodeRules, satellites: SatelliteTable, columns: PointColumns
) => DecodeFault | null

/** One point: a map, or a frame of one point. */
export const decodeMsgpackPoint: Decoder = (body, nowMicros, rules, satellites, columns) => {
  const result = decodePacket(body, nowMicros, rules, satellites, columns)
  if (result.kind === 'malformed') return result.fault
  if (result.kind === 'plain' ? result.single : columns.count === 1) return null
  const what = result.kind === 'plain' ? 'an array' : `a frame of ${columns.count} points`
  return refuse(columns, `The body is ${what}: send it to /telemetry/batch, or send a single point here.`)
}

/** Any number of points: an array of maps, or a frame. */
export const decodeMsgpackBatch: Decoder = (body, nowMicros, rules, satellites, columns) => {
  const result = decodePacket(body, nowMicros, rules, satellites, columns)
  if (result.kind === 'malformed') return result.fault
  if (result.kind === 'frame' || !result.single) return null
  return refuse(columns, 'The body must be an array of points or a frame: send a single point to /telemetry.')
}

function refuse (columns: PointColumns, message: string): DecodeFault {
  const points = columns.count
  columns.clear()
  return { code: 'invalid_point', message, points }
}
