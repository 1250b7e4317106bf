/** What a worker reports of its lanes together. */
import t from 'tap'
import type { Lane } from '../../../lib/lane/lane.js'
import { describeLeftOver, Lanes } from '../../../lib/lane/lanes.js'
import type { Pipelines } from '../../../lib/pipeline/pipelines.js'
import { PointCounters } from '../../../lib/pipeline/pipeline.js'

function laneOf (state: string, lastError: string | null): Lane {
  const journal = {
    spoolId: `of ${state}`,
    pressure: () => 'none',
    backlog: () => ({ frames: 1, rows: 2, bytes: 3, oldestMs: 4 }),
    releasedRows: 5,
    recoveredRows: 6,
    lostRows: 1
  }
  return { drain: { state, lastError, retries: 2 }, journal, quarantined: 1 } as unknown as Lane
}

t.test('of several drains that fail, a halted one is reported: it needs an operator', (t) => {
  const pipelines = { snapshot: () => new PointCounters(), openRows: 1, unspooled: 0 } as unknown as Pipelines
  const lanes = new Lanes(pipelines)
  const report = (): unknown => lanes.snapshot().database
  t.match(report(), { state: 'connecting', lastError: null })
  lanes.add(laneOf('ready', null))
  t.match(report(), { state: 'ready', lastError: null })
  lanes.add(laneOf('retrying', 'no connection'))
  t.match(report(), { state: 'retrying', lastError: 'no connection' })
  lanes.add(laneOf('halted', 'the ledger does not fit'))
  t.match(report(), { state: 'halted', lastError: 'the ledger does not fit', retries: 6 })
  t.strictSame(lanes.snapshot().halted, ['of halted'])
  t.match(lanes.snapshot(), {
    points: { recovered: 18, lost: 3, quarantined: 3, committed: 12 },
    waiting: 7,
    backlog: { frames: 3, rows: 6, bytes: 9, oldestMs: 4 }
  })
  t.end()
})

t.test('a log that does not answer is named, and not only the queue that it fills', (t) => {
  const lanes = new Lanes({} as unknown as Pipelines)
  lanes.add(laneOf('ready', null))
  t.strictSame(lanes.complaints, [])
  const lane = laneOf('ready', null)
  let outage: string | null = 'log_unavailable'
  lanes.add(Object.assign(lane, { journal: { ...lane.journal, outage: () => outage } }))
  t.match(lanes.complaints, [/the replicated log does not answer/])
  outage = null
  t.strictSame(lanes.complaints, [])
  t.end()
})

t.test('of a lane that is over only the counts are kept', (t) => {
  const pipelines = { snapshot: () => new PointCounters(), openRows: 0, unspooled: 0 } as unknown as Pipelines
  const lanes = new Lanes(pipelines)
  lanes.add(laneOf('ready', null))
  const over = laneOf('ended', null)
  lanes.add(over)
  const { points } = lanes.snapshot()
  lanes.remove(over)
  t.match(lanes.snapshot(), { points, waiting: 2, backlog: { frames: 1 }, database: { retries: 4 } })
  // As if its journal were collected.
  Object.assign(over.journal, { releasedRows: 0, recoveredRows: 0 })
  t.match(lanes.snapshot(), { points })
  t.end()
})

t.test('what is left over on shutdown is stored later only if it is kept somewhere', (t) => {
  const cases = [
    ['', /^the shutdown deadline passed .*; points in the spool are stored after the next start$/],
    ['/data/spool', /; points in the spool are/],
    ['nats://host:4222', /; points in the log are stored by another server, or after the next start$/],
    ['off', /; without a spool they are lost, unless their senders send them again$/]
  ] as const
  for (const [spoolDir, message] of cases) t.match(describeLeftOver('deadline', { spoolDir }), message)
  t.match(describeLeftOver('away', { spoolDir: '' }), /^database writes are failing, and shutdown does not wait/)
  t.end()
})
