import t from 'tap'
import { GATHER_MS_MAX, Gathering } from '../../../lib/pipeline/gathering.js'

interface Load {
  readonly fromMs: number
  readonly forMs: number
  readonly perMs: number
  /** Requests waiting at any moment. */
  readonly underWay: number
}

/** Requests at a steady rate, with groups that take no time. Returns the longest wait. */
function steady (gathering: Gathering, { fromMs, forMs, perMs, underWay }: Load): number {
  let longestMs = 0
  for (let nowMs = fromMs; nowMs < fromMs + forMs; nowMs += 1 / perMs) {
    gathering.appended(underWay)
    // One request is always outside this batch, so that it is never complete.
    const restMs = gathering.restMs(underWay - 1, nowMs)
    longestMs = Math.max(longestMs, restMs)
    if (restMs <= 0) gathering.closed(underWay, nowMs)
  }
  return longestMs
}

t.test('a single client that waits for each answer is never delayed', (t) => {
  const gathering = new Gathering()
  for (let nowMs = 0; nowMs < 1_000; nowMs += 0.5) {
    gathering.appended(1)
    t.equal(gathering.restMs(1, nowMs), 0)
    gathering.closed(1, nowMs)
  }
  t.end()
})

t.test('requests too rare to share a batch do not wait', (t) => {
  t.equal(steady(new Gathering(), { fromMs: 0, forMs: 5_000, perMs: 0.3, underWay: 3 }), 0)
  t.end()
})

t.test('many requests share a batch, and none waits longer than GATHER_MS_MAX', (t) => {
  const gathering = new Gathering()
  const longestMs = steady(gathering, { fromMs: 0, forMs: 2_000, perMs: 10, underWay: 100 })
  t.ok(longestMs > GATHER_MS_MAX / 2 && longestMs <= GATHER_MS_MAX, String(longestMs))
  t.end()
})

t.test('a batch is complete when all active clients are in it', (t) => {
  const gathering = new Gathering()
  steady(gathering, { fromMs: 0, forMs: 400, perMs: 10, underWay: 64 })
  t.notOk(gathering.isComplete(63))
  t.ok(gathering.isComplete(64))
  gathering.appended(64)
  t.equal(gathering.restMs(64, 400), 0)
  t.end()
})

t.test('clients that left are expected for half a second at most', (t) => {
  const gathering = new Gathering()
  steady(gathering, { fromMs: 0, forMs: 400, perMs: 10, underWay: 64 })
  steady(gathering, { fromMs: 400, forMs: 520, perMs: 10, underWay: 8 })
  t.ok(gathering.isComplete(8))
  t.end()
})

t.test('the first request after a pause does not wait', (t) => {
  const gathering = new Gathering()
  steady(gathering, { fromMs: 0, forMs: 400, perMs: 10, underWay: 64 })
  gathering.closed(0, 400)
  gathering.appended(1)
  t.ok(gathering.restMs(1, 10_000) <= 0)
  t.end()
})
