/** Shared by the packet tests: rules, the golden vectors, and columns as plain values. */
import { readFileSync } from 'node:fs'
import { PointColumns } from '../../../protocol/columns.js'
import { METRICS, METRIC_COUNT, TELEMETRY } from '../../support/built-in.js'
import { decodePacket, type MalformedReason, type PacketResult } from '../../../protocol/packet/packet.js'
import type { DecodeRules } from '../../../protocol/point.js'
import { SatelliteTable } from '../../../protocol/satellites.js'
import type { ReferencePoint } from './packet-reference.js'

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
export const invalid = readVectors<InvalidVector>('invalid')

export const NOW = valid.now_micros
export const RULES: DecodeRules = {
  timeWindowPastMs: valid.time_window_past_ms,
  timeWindowFutureMs: valid.time_window_future_ms,
  unknownFields: valid.unknown_fields
}

const satellites = new SatelliteTable(10_000)
/** Small, so that it has to grow. */
export const columns = new PointColumns(TELEMETRY, 2)

export function decode (bytes: Buffer, rules: DecodeRules = RULES): PacketResult {
  return decodePacket(bytes, NOW, rules, satellites, columns)
}

/** The points of the last decode(). */
export function points (): ReferencePoint[] {
  return Array.from({ length: columns.count }, (_, index) => ({
    id: columns.satellites[index]!.id,
    timeMicros: columns.timesMicros[index]!,
    values: Array.from(columns.values.subarray(index * METRIC_COUNT, (index + 1) * METRIC_COUNT))
  }))
}

/** The points of a vector. */
export function pointsOf (vector: ValidVector): ReferencePoint[] {
  return vector.points.map(point => ({
    id: point['satellite_id'] as string,
    timeMicros: point['time_micros'] as number,
    values: METRICS.map(metric => point[metric.name] as number | null ?? NaN)
  }))
}
