import t from 'tap'
import fc from 'fast-check'
import {
  FIRST_METRIC, METRICS_MAX, NAME_BYTES_MAX, PointSchema, SATELLITE_ID, TIME, TIMESTAMP, UNKNOWN_FIELD
} from '../../protocol/schema.js'
import { listNames } from '../../protocol/names.js'
import { anyMetricNames } from '../support/points/schemas.js'

t.test('property: every field is found by its bytes, at any position, and nothing else is', (t) => {
  fc.assert(fc.property(anyMetricNames, fc.string(), (names, other) => {
    const schema = new PointSchema(names)
    const find = (name: string): number => {
      const bytes = Buffer.from(`x${name}"`)
      return schema.fieldAt(bytes, 1, bytes.length - 2)
    }
    const found = schema.fields.map(find)
    if (found.some((field, index) => field !== index)) throw new Error(`found ${found.join(' ')}`)
    for (const name of [other, ...names.map((name) => `${name}0`), ...names.map((name) => name.slice(0, -1))]) {
      if (!schema.isField(name) && find(name) !== UNKNOWN_FIELD) throw new Error(`${name} was found`)
    }
    return schema.fields[FIRST_METRIC] === names[0]
  }), { numRuns: 300 })
  const schema = new PointSchema(['a'])
  const common = [SATELLITE_ID, TIME, TIMESTAMP].map((field) => schema.fields[field])
  t.strictSame(common, ['satellite_id', 'time', 'timestamp'])
  t.end()
})

t.test('names that cannot be columns, and too many names, are refused', (t) => {
  const tooMany = Array.from({ length: METRICS_MAX + 1 }, (_, index) => `m${index}`)
  const tooLong = 'a'.repeat(NAME_BYTES_MAX + 1)
  for (const names of [[], [''], ['A'], ['1a'], ['a-b'], ['é'], [tooLong], ['time'], ['a', 'b', 'a'], tooMany]) {
    t.throws(() => new PointSchema(names), RangeError, names.slice(0, 3).join())
  }
  t.equal(new PointSchema(['a'.repeat(NAME_BYTES_MAX)]).metricCount, 1)
  t.end()
})

t.test('aliases are fields behind the metrics, and point to them', (t) => {
  const schema = new PointSchema(['a', 'b'], [{ name: 'old_b', metric: 'b' }, { name: 'older_b', metric: 'b' }])
  t.strictSame(schema.names, ['satellite_id', 'time', 'timestamp', 'a', 'b'])
  t.equal(schema.target(schema.fieldAt(Buffer.from('older_b'), 0, 7)), FIRST_METRIC + 1)
  t.equal(schema.target(FIRST_METRIC), FIRST_METRIC)
  t.strictSame([...schema.aliasLists], [undefined, ['old_b', 'older_b']])
  for (const aliases of [
    [{ name: 'a', metric: 'b' }], [{ name: 'c', metric: 'd' }], [{ name: 'c', metric: 'time' }],
    [{ name: 'c', metric: 'a' }, { name: 'c', metric: 'b' }]
  ]) {
    t.throws(() => new PointSchema(['a', 'b'], aliases), RangeError, JSON.stringify(aliases))
  }
  t.end()
})

t.test('messages list some of many names', (t) => {
  const names = Array.from({ length: 25 }, (_, index) => `m${index}`)
  t.equal(listNames(names.slice(0, 3)), 'm0, m1, m2')
  t.match(listNames(names), /^m0, .*m19 and 5 more$/)
  t.end()
})
