/** Payloads: points and anomalies are written, read, and matched to each other. */
import t from 'tap'
import * as fc from 'fast-check'
import {
  anomalyRowEnd, isAnomalyRow, pointsOfAnomalies, readAnomalyRow
} from '../../../../lib/pipeline/rows/anomaly-rows.js'
import { anomaliesOf, anomalyCountOf, telemetryOf } from '../../../../lib/pipeline/rows/payload.js'
import { rowToPoint } from '../../../../lib/pipeline/rows/rows.js'
import { splitRows } from '../../../../lib/drain/poison.js'
import { METRICS, STREAM, TELEMETRY } from '../../../support/points/built-in.js'
import { payloadOf, type PlainPoint } from '../../../support/points/limits.js'

const TIME = 1_700_000_000_000_001
const anomalyRows = (payload: Buffer): Buffer[] => splitRows([anomaliesOf(payload)], anomalyRowEnd)

t.test('an anomaly has metric, value, limit, severity, side and version', (t) => {
  const set = { default: { [METRICS[0].name]: { low: { warning: -1, critical: -5.5 } } }, overrides: {} }
  const payload = payloadOf([['SAT 天', TIME, -2], ['B', TIME, -5.75, 1e9]], set, 2 ** 40 + 5)
  t.equal(anomalyCountOf(payload), 2)
  const common = {
    time: '2023-11-14T22:13:20.000001Z', metric: METRICS[0].name, side: 'low', limits_version: 2 ** 40 + 5
  }
  t.strictSame(anomalyRows(payload).map(readAnomalyRow), [
    { ...common, satellite_id: 'SAT 天', value: -2, limit: -1, severity: 'warning' },
    { ...common, satellite_id: 'B', value: -5.75, limit: -5.5, severity: 'critical' }
  ])
  t.end()
})

t.test('property: a payload has its points, and one anomaly per value beyond a limit', (t) => {
  const value = fc.constantFrom(NaN, 1, 10, 11, 12)
  const values = fc.array(value, { minLength: METRICS.length, maxLength: METRICS.length })
  const point = fc.tuple(fc.constantFrom('A', 'B', 'C'), fc.constantFrom(TIME, TIME + 1), values)
    .map(([id, time, values]): PlainPoint => [id, time, ...values])
  fc.assert(fc.property(fc.array(point, { minLength: 1, maxLength: 30 }), (points) => {
    const payload = payloadOf(points)
    const rows = splitRows([telemetryOf(payload)])
    const anomalies = anomalyRows(payload)
    const expected = points.flatMap(([, , ...values], index) => (
      values.flatMap((each, metric) => each > 10 ? [{ index, metric, each }] : [])
    ))
    if (rows.length !== points.length || anomalies.length !== expected.length) return false
    if (anomalyCountOf(payload) !== anomalies.length) return false
    const owners = pointsOfAnomalies(rows, anomalies, STREAM)
    return anomalies.every((anomaly, at) => {
      const { metric, value } = readAnomalyRow(anomaly)
      const { index, metric: wanted, each } = expected[at]!
      // An earlier point with the same satellite, time and value may be matched instead.
      const owner = rowToPoint(owners[at]!, TELEMETRY)
      return metric === METRICS[wanted]!.name && value === each && owner[metric] === each &&
        owner['satellite_id'] === points[index]![0] && rows.indexOf(owners[at]!) <= index
    })
  }), { numRuns: 500 })
  t.end()
})

t.test('bytes are told to be an anomaly, or not', (t) => {
  const payload = payloadOf([['A', TIME, 11, 12]])
  const [anomaly, other] = anomalyRows(payload) as [Buffer, Buffer]
  t.ok(isAnomalyRow(anomaly))
  const six = Buffer.concat([anomaly.subarray(0, anomaly.indexOf(METRICS[0].name) - 4), ...Array<Buffer>(6).fill(
    Buffer.from([0, 0, 0, 8, ...Buffer.from('critical')]))])
  const others = [
    ...splitRows([telemetryOf(payload)]), six, Buffer.concat([anomaly, other]), anomaly.subarray(0, -1), Buffer.alloc(0)
  ]
  t.strictSame(others.filter(isAnomalyRow), [])
  t.end()
})

t.test('identical points keep their own anomalies', (t) => {
  const payload = payloadOf([['A', TIME, 11, 12], ['A', TIME, 11, 12], ['B', TIME, 1], ['A', TIME, 11, 12, 13]])
  const rows = splitRows([telemetryOf(payload)])
  const owners = pointsOfAnomalies(rows, anomalyRows(payload), STREAM)
  t.strictSame(owners.map((row) => rows.indexOf(row)), [0, 0, 1, 1, 3, 3, 3])
  t.end()
})

t.test('an anomaly without its point and a truncated payload throw', (t) => {
  const payload = payloadOf([['A', TIME, 11]])
  const others = splitRows([telemetryOf(payloadOf([['B', TIME, 11]]))])
  t.throws(() => pointsOfAnomalies(others, anomalyRows(payload), STREAM), /without its point/)
  t.throws(() => telemetryOf(payload.subarray(0, 20)), RangeError)
  t.end()
})

t.test('without anomalies a payload is eight bytes longer than its rows', (t) => {
  const payload = payloadOf([['A', TIME, 1], ['B', TIME]])
  t.equal(telemetryOf(payload).length, payload.length - 8)
  t.equal(anomaliesOf(payload).length, 0)
  t.end()
})

t.test('the buffer grows with the anomalies', (t) => {
  const points = Array.from({ length: 3_000 }, (_, index): PlainPoint => (
    ['S'.repeat(60) + String(index % 1000), TIME + index, 11, 12, 13]
  ))
  const payload = payloadOf(points)
  t.equal(anomalyRows(payload).length, 9_000)
  t.equal(readAnomalyRow(anomalyRows(payload).at(-1)!).value, 13)
  t.end()
})
