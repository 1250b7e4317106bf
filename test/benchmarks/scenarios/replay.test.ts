import t from 'tap'
import { shifted } from '../../../benchmarks/scenarios/page/replay.js'

t.test('all times of an event move, and nothing else', t => {
  const fleet = 'id: 7\ndata: {"time_ms":1800000000000,"points":1234567,"changed":[["A",1800000000250,"normal"]]}\n\n'
  t.equal(shifted(fleet, 5_000), fleet.replace('1800000000000', '1800000005000').replace('0000250', '0005250'))
  t.equal(shifted('data: {"time":"2027-01-15T08:00:00.000Z","limit":20}', 1_000),
    'data: {"time":"2027-01-15T08:00:01.000Z","limit":20}')
  t.end()
})
