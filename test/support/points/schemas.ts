/** Schemas of any size. */
import fc from 'fast-check'
import { METRICS_MAX, NAME_BYTES_MAX, PointSchema } from '../../../protocol/schema.js'

/** Reserved field names of a point look like metrics too. */
const RESERVED: ReadonlySet<string> = new Set(['satellite_id', 'time', 'timestamp'])

/** A few unique metric names. */
export const fewMetricNames: fc.Arbitrary<string[]> = fc.uniqueArray(
  fc.stringMatching(/^[a-z][a-z0-9_]{0,40}$/).filter((name) => !RESERVED.has(name)), { minLength: 1, maxLength: 8 })

/** Unique metric names: few or many, short ones that differ in one letter, and long ones. */
export const anyMetricNames: fc.Arbitrary<string[]> = fc.oneof(
  fc.uniqueArray(
    fc.stringMatching(/^[a-z][a-z0-9_]{0,40}$/).filter((name) => !RESERVED.has(name)),
    { minLength: 1, maxLength: 40 }
  ),
  fc.integer({ min: 1, max: 250 }).map((count) => Array.from({ length: count }, (_, index) => `m${index}`)),
  fc.integer({ min: 1, max: 250 }).map((count) => (
    Array.from({ length: count }, (_, index) => `panel_${String(index).padStart(3, '0')}_temperature_celsius`)))
)

/** As many metrics as there may be, with names as long as they may be. */
export const WIDEST = new PointSchema(
  Array.from({ length: METRICS_MAX }, (_, index) => `m${index}_`.padEnd(NAME_BYTES_MAX, 'x')))
