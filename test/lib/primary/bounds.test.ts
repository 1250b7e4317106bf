import t from 'tap'
import { assertBounds } from '../../../lib/primary/bounds.js'
import { METRICS_MAX, NAME_BYTES_MAX, PointSchema } from '../../../protocol/schema.js'

t.test('the bounds fit for every number of metrics, with the longest names', (t) => {
  for (let count = 1; count <= METRICS_MAX; count++) {
    assertBounds(new PointSchema(Array.from({ length: count }, (_, index) => `m${index}`.padEnd(NAME_BYTES_MAX, '_'))))
  }
  t.end()
})
