import t from 'tap'
import type { PacedResult } from '../../benchmarks/load/jobs.js'
import { pauseAfter } from '../../benchmarks/load/pause.js'
import { closedLoopProblems, outcomeOf, pacedProblems, probeProblems } from '../../benchmarks/outcomes.js'
import { latencyOf } from '../../benchmarks/statistics.js'

const RESULT: PacedResult = {
  sent: [60, 40],
  acknowledged: [60, 40],
  statuses: { 202: 100 },
  unanswered: 0,
  latency: latencyOf([
    1
  ]),
  startedAtMs: 0,
  seconds: 1,
  probesDueMs: [],
  probesAcknowledged: 0,
  probeStatuses: {}
}

t.test('in a closed loop only backpressure is no problem', t => {
  t.equal(outcomeOf(202, ''), '202')
  for (const code of ['overloaded', 'spool_full']) {
    t.same(closedLoopProblems({ statuses: { 202: 5, [outcomeOf(503, code)]: 3 }, unanswered: 0 }), [])
  }
  for (const code of ['outcome_unknown', 'spool_failed', '']) {
    t.match(closedLoopProblems({
      statuses: { [outcomeOf(503, code)]: 3 },
      unanswered: 0
    }), [/^3 requests were answered with 503/], code)
  }
  t.match(closedLoopProblems({
    statuses: { 0: 2 },
    unanswered: 1
  }), [/^2 requests lost their connection/, /^1 requests were unanswered/])
  t.end()
})

t.test('at a fixed rate a server that refuses everything fails', t => {
  t.same(pacedProblems(RESULT, 100), [])
  t.match(pacedProblems({ ...RESULT, acknowledged: [0, 0], statuses: { '503 overloaded': 100 } }, 100), [
    /^only 0 of 100 requests were acknowledged/
  ])
  t.match(pacedProblems(RESULT, 200), [/^only 100 of 200 requests could be sent/])
  t.end()
})

t.test('refused probes fail too', t => {
  const probes = { ...RESULT, probesDueMs: [1, 2], probesAcknowledged: 2, probeStatuses: { 202: 2 } }
  t.same(probeProblems(probes), [])
  t.match(probeProblems({ ...probes, probesAcknowledged: 1, probeStatuses: { 202: 1, 400: 1 } }), [
    /^probes: 1 requests were answered with 400/,
    /^only 1 of 2 probes/
  ])
  t.end()
})

t.test('a sender under backpressure converges on slightly more than is accepted', t => {
  t.equal(pauseAfter(0, false), 0)
  t.equal(pauseAfter(0, true), 10)
  t.equal(pauseAfter(1.01, false), 0, 'and stops pausing')
  let pauseMs = 0
  let refused = 0
  // A server that accepts one request per 50 ms.
  for (let request = 0, freeAtMs = 0, nowMs = 0; request < 1000; request++, nowMs += pauseMs + 1) {
    const takes = nowMs >= freeAtMs
    if (takes) freeAtMs = Math.max(freeAtMs, nowMs - 100) + 50
    else refused++
    pauseMs = pauseAfter(pauseMs, !takes)
  }
  t.ok(refused < 60, `${refused} of 1000`)
  t.end()
})
