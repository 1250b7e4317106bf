/** Shared by the packet tests: rules, the golden vectors, and columns as plain values. */
import { readFileSync } from 'node:fs'
import { PointColumns } from '../../../protocol/columns.js'
import { PointSchema } from '../../../protocol/schema.js'
import { decodePacket, type MalformedReason, type PacketResult } from '../../../protocol/packet/packet.js'
import type { DecodeRules } from '../../../protocol/point.js'
import { SatelliteTable } from '../../../protocol/satellites.js'

export interface ReferencePoint {
  readonly id: string
  readonly timeMicros: number
  /** NaN: nil. */
  readonly values: readonly number[]
}

interface VectorFile<Vector> {
  readonly now_micros: number
  readonly time_window_past_ms: number
  readonly time_window_future_ms: number
  readonly unknown_fields: 'reject' | 'ignore'
  readonly vectors: readonly Vector[]
}

export interface ValidVector {
  readonly name: string
  readonly hex: string
  readonly kind: 'plain' | 'frame'
  readonly single?: boolean
  readonly sender?: string
  readonly epoch?: number
  readonly seq?: number
  /** Named in the packet. */
  readonly stream?: string
  readonly points: ReadonlyArray<Readonly<Record<string, string | number | null>>>
}

export interface InvalidVector {
  readonly name: string
  readonly hex: string
  readonly reason: MalformedReason
  readonly index?: number
  readonly field?: string
}

function readVectors<Vector> (name: string): VectorFile<Vector> {
  const path = new URL(`../../../../protocol/vectors/${name}.json`, import.meta.url)
  return JSON.parse(readFileSync(path, 'utf8')) as VectorFile<Vector>
}

export const valid = readVectors<ValidVector>('valid')
/** Their metrics, by name. */
export const streams = (valid as unknown as { streams: Readonly<Record<string, readonly string[]>> }).streams
export const invalid = readVectors<InvalidVector>('invalid')

export const NOW = valid.now_micros
export const RULES: DecodeRules = {
  timeWindowPastMs: valid.time_window_past_ms,
  timeWindowFutureMs: valid.time_window_future_ms,
  unknownFields: valid.unknown_fields
}

const satellites = new SatelliteTable(10_000)
/** By stream; small, so that they have to grow. */
const columnsByStream = new Map(Object.entries(streams).map(([stream, metrics]) => (
  [stream, new PointColumns(new PointSchema(metrics), 2)])))
/** Of packets that name no stream. */
export const columns = columnsByStream.get('telemetry')!
let last = columns

/** Decodes a packet as a UDP listener does. */
export function decode (bytes: Buffer, rules: DecodeRules = RULES, isKeyed = false): PacketResult {
  last = columns
  return decodePacket(bytes, NOW, rules, satellites, columns, isKeyed, (stream) => {
    const columns = columnsByStream.get(stream)
    if (columns === undefined) return null
    last = columns
    return { columns, rules }
  })
}

/** Those that the last decode() filled. */
export function filled (): PointColumns {
  return last
}

/** The points of the last decode(). */
export function points (): ReferencePoint[] {
  const { metricCount } = last.schema
  return Array.from({ length: last.count }, (_, index) => ({
    id: last.satellites[index]!.id,
    timeMicros: last.timesMicros[index]!,
    values: Array.from(last.values.subarray(index * metricCount, (index + 1) * metricCount))
  }))
}

/** The points of a vector. */
export function pointsOf (vector: ValidVector): ReferencePoint[] {
  return vector.points.map(point => ({
    id: point['satellite_id'] as string,
    timeMicros: point['time_micros'] as number,
    values: (streams[vector.stream ?? 'telemetry'] ?? []).map(metric => point[metric] as number | null ?? NaN)
  }))
}
