import t from 'tap'
import { PointColumns } from '../../protocol/columns.js'
import { METRIC_COUNT, TELEMETRY } from '../../protocol/metrics.js'
import { SatelliteTable, type Satellite } from '../../protocol/satellites.js'

t.test('columns grow, keep what they hold, and give a point without metrics NaN even over left-over values', t => {
  const satellite = new SatelliteTable().byId('A') as Satellite
  const columns = new PointColumns(TELEMETRY, 2)
  for (let round = 0; round < 2; round++) {
    columns.clear()
    t.equal(columns.count, 0)
    for (let point = 0; point < 5; point++) {
      t.equal(columns.push(satellite, 1000 + point), point)
      t.strictSame([...columns.values.subarray(point * METRIC_COUNT, (point + 1) * METRIC_COUNT)], new Array(METRIC_COUNT).fill(NaN))
      columns.values.fill(point, point * METRIC_COUNT, (point + 1) * METRIC_COUNT)
    }
    t.equal(columns.count, 5)
    t.strictSame([...columns.timesMicros.subarray(0, 5)], [1000, 1001, 1002, 1003, 1004])
    t.equal(columns.values[3 * METRIC_COUNT], 3)
    t.equal(columns.satellites[4], satellite)
  }
  t.end()
})
