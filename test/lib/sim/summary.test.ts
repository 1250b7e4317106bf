import t from 'tap'
import { createLatencies, recordLatency } from '../../../lib/sim/histogram.js'
import { countFailure, type TransportStats } from '../../../lib/sim/send/transport.js'
import {
  describeCause, milliseconds, summarize, summaryText, verdictText, type Outcome, type Summary
} from '../../../lib/sim/summary.js'

function makeSummary (
  changes: Partial<TransportStats>,
  outcome: Partial<Outcome> = {},
  failures: ReadonlyArray<[string, string, number]> = []
): Summary {
  const stats: TransportStats = {
    sentMessages: 1_000,
    sentPoints: 1_000,
    acceptedPoints: 1_000,
    failedPoints: 0,
    failures: new Map(),
    askedToWait: 0,
    answered: true,
    latencies: createLatencies(),
    ...changes
  }
  for (const failure of failures) countFailure(stats, ...failure)
  const latencies = createLatencies()
  recordLatency(latencies, 1.234)
  return summarize({
    seed: 9,
    satellites: 10,
    pointsPerSecond: 500
  }, {
    sendingMs: 2_000,
    stats,
    counted: { latencies, fromMs: 0, pointsBefore: 0 },
    skippedLate: 0,
    skippedUnanswered: 0,
    anomalies: 12,
    udp: null,
    ...outcome
  })
}

t.test('a successful run', t => {
  const summary = makeSummary({})
  t.ok(summary.ok)
  t.equal(summaryText(summary), [
    'Sent       1,000 points in 1,000 requests, 2.0 s',
    'Accepted   1,000 (100.00%)',
    'Failed     0',
    'Skipped    0',
    'Rate       500 points/s of 500 requested',
    'Latency    p50 1.23 ms, p90 1.23 ms, p99 1.23 ms, max 1.23 ms',
    'Anomalies  12 points with a value beyond its limit',
    'Seed       9'
  ].join('\n'))
  t.end()
})

t.test('the rate is that after the warm-up', t => {
  const summary = makeSummary({}, { counted: { latencies: createLatencies(), fromMs: 500, pointsBefore: 250 } })
  t.match(summary, { seconds: 2, warm_up_seconds: 0.5, rate_sent: 500 })
  t.match(summaryText(summary), 'Rate       500 points/s of 500 requested, after 0.5 s of warm-up\n')
  t.end()
})

t.test('a failed run lists its causes, most frequent first', t => {
  const summary = makeSummary({
    acceptedPoints: 960,
    askedToWait: 30
  }, { skippedLate: 2_000, skippedUnanswered: 5 }, [['ECONNREFUSED', '', 10], ['HTTP 503 overloaded', 'No room.', 30]])
  t.notOk(summary.ok)
  t.same(summary.failures.map(({ cause }) => cause), ['HTTP 503 overloaded', 'ECONNREFUSED'])
  t.match(summaryText(summary), [
    'Accepted   960 (95.52%)',
    'Failed     40; 30 responses asked to wait (Retry-After)',
    '           30 HTTP 503 overloaded: No room.',
    '           10 connection refused (ECONNREFUSED)',
    'Skipped    2,005: 2,000 because the simulator fell behind, 5 because too many were unanswered'
  ].join('\n'))
  t.equal(verdictText(summary), 'error: 95.52% of the points were accepted; 99.00% required')
  t.end()
})

t.test('99% of the points offered to the server make a run successful', t => {
  t.ok(makeSummary({ acceptedPoints: 990 }).ok)
  t.notOk(makeSummary({ acceptedPoints: 989 }).ok)
  t.ok(makeSummary({}, { skippedUnanswered: 10, skippedLate: 500 }).ok)
  t.notOk(makeSummary({}, { skippedUnanswered: 11 }).ok)
  t.match(verdictText(makeSummary({ sentPoints: 100_000, acceptedPoints: 98_999 })), '98.99%')
  t.end()
})

t.test('a run that sent nothing failed, and has no share', t => {
  const summary = makeSummary({ sentMessages: 0, sentPoints: 0, acceptedPoints: 0 })
  t.match(summary, { ok: false, accepted_share: null })
  t.match(summaryText(summary), /^Accepted {3}0$/m)
  t.match(verdictText(summary), /no points were sent/)
  t.end()
})

t.test('causes and durations in words', t => {
  t.equal(describeCause('HTTP 401 unauthorized'), 'HTTP 401 unauthorized')
  t.same([1.234, 12.34, 123.4].map(milliseconds), ['1.23 ms', '12.3 ms', '123 ms'])
  t.end()
})
