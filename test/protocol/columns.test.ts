import t from 'tap'
import { PointColumns } from '../../protocol/columns.js'
import { METRIC_COUNT, TELEMETRY } from '../support/points/built-in.js'
import { SatelliteTable, type Satellite } from '../../protocol/satellites.js'

t.test('columns grow, keep their points, and start points with NaN even over left-over values', t => {
  const satellite = new SatelliteTable().byId('A') as Satellite
  const columns = new PointColumns(TELEMETRY, 2)
  for (let round = 0; round < 2; round++) {
    columns.clear()
    t.equal(columns.count, 0)
    for (let point = 0; point < 5; point++) {
      t.equal(columns.push(satellite, 1000 + point), point)
      const values = columns.values.subarray(point * METRIC_COUNT, (point + 1) * METRIC_COUNT)
      t.strictSame([...values], new Array(METRIC_COUNT).fill(NaN))
      values.fill(point)
    }
    t.equal(columns.count, 5)
    t.strictSame([...columns.timesMicros.subarray(0, 5)], [1000, 1001, 1002, 1003, 1004])
    t.equal(columns.values[3 * METRIC_COUNT], 3)
    t.equal(columns.satellites[4], satellite)
  }
  t.end()
})
