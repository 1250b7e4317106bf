import { BUILT_IN } from '../../support/points/built-in.js'
import t from 'tap'
import type { Test } from 'tap'
import { mock } from 'node:test'
import { recordLatency } from '../../../lib/sim/histogram.js'
import { Progress } from '../../../lib/sim/run-progress.js'
import { createStats } from '../../../lib/sim/send/transport.js'
import { simulate, type SimulationOptions } from '../../../lib/sim/simulate.js'
import { waitForServer } from '../../../lib/sim/server-check.js'
import { accept, refuse, startServer } from './send/http-server.js'

const options = (url: URL, changes: Partial<SimulationOptions> = {}): SimulationOptions => ({
  catalogue: BUILT_IN,
  url,
  satellites: 10,
  rate: 20,
  durationMs: 500,
  anomalyRate: 0.1,
  batchSize: 1,
  format: 'json',
  seed: 42,
  connectionsMax: 10,
  token: null,
  truth: null,
  udp: null,
  ...changes
})

const silent = { write: () => true }
const never = new AbortController().signal

/**
 * A clock that does not go on while the machine stalls: in a turn of the event loop at most 4 ms pass, and at least as
 * many points are sent as are due in that time.
 */
function useSteadyClock (t: Test): void {
  let nowMs = 1
  const clock = mock.method(performance, 'now', () => {
    nowMs += 0.001
    return nowMs
  })
  const timer = setInterval(() => { nowMs += 4 }, 1)
  t.teardown(() => {
    clearInterval(timer)
    clock.mock.restore()
  })
}

interface SentPoint { satellite_id: string, time: string }

t.test('sends the requested points, evenly, when they are due', async t => {
  useSteadyClock(t)
  const { url, received } = await startServer(t, accept)
  const startedMs = Date.now()
  const summary = await simulate(options(url), silent, never)
  const endedMs = Date.now()
  t.match(summary, { seed: 42, failed: 0, skipped_unanswered: 0, rate_asked: 200, ok: true, accepted_share: 1 })
  t.match(summary, { sent: 100, accepted: 100, skipped_late: 0 })
  t.ok(summary.seconds >= 0.5)
  t.ok(summary.latency_ms.p50 > 0 && summary.latency_ms.p50 <= summary.latency_ms.max)
  const points = received.map(({ body }) => JSON.parse(body) as SentPoint)
  t.equal(points.length, 100)
  for (let satellite = 1; satellite <= 10; satellite++) {
    const id = `SAT-${String(satellite).padStart(4, '0')}`
    const times = points.filter(point => point.satellite_id === id).map(({ time }) => Date.parse(time))
    t.ok(times.every(time => time >= startedMs && time <= endedMs + 500))
    t.equal(new Set(times).size, 10, id)
  }
})

t.test('a seed repeats the values of a run', async t => {
  useSteadyClock(t)
  const runs: string[][] = []
  for (const seed of [42, 42, 43]) {
    const { url, received } = await startServer(t, accept)
    await simulate(options(url, { seed, durationMs: 300 }), silent, never)
    // In no order: there are several connections.
    runs.push(received.map(({ body }) => body.replace(/"time":"[^"]*",/, '')).sort())
  }
  const [first, second, other] = runs
  t.equal(first?.length, 60)
  t.same(second, first)
  t.notOk(other?.some(point => first?.includes(point)))
})

t.test('an unresponsive server gets no more than the bound; the rest is skipped', async t => {
  useSteadyClock(t)
  const { url } = await startServer(t, () => {})
  const changes = { satellites: 50, rate: 1000, durationMs: 300, connectionsMax: 1, drainDeadlineMs: 100 }
  const summary = await simulate(options(url, changes), silent, never)
  // 50,000/s for 300 ms, of which the rate rises from 1,000/s for 75.
  t.match(summary, { sent: 2_000, failed: 2_000, skipped_unanswered: 13_163 - 2_000, skipped_late: 0 })
  t.match(summary, { ok: false, accepted: 0, failures: [{ cause: 'no answer' }] })
})

t.test('the warm-up is sent and accepted like the rest', async t => {
  useSteadyClock(t)
  const { url } = await startServer(t, accept)
  const summary = await simulate(options(url, { rate: 120, durationMs: 1_000 }), silent, never)
  t.ok(summary.warm_up_seconds > 0)
  // 1,200/s for a second, of which the rate rises from 1,000/s for 50 ms.
  t.match(summary, { sent: 1_195, accepted: 1_195, skipped_late: 0 })
})

t.test('what comes during the warm-up does not count', t => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
  t.teardown(() => mock.timers.reset())
  const stats = createStats(true)
  const progress = new Progress(silent, { stats, warmUpMs: 2_000, elapsedMs: () => 2_001, skippedPoints: () => 0 })
  const answered = (ms: number): void => {
    stats.sentPoints++
    recordLatency(stats.latencies, ms)
  }
  answered(100)
  mock.timers.tick(2_000)
  answered(1)
  answered(1)
  progress.stop()
  t.match(progress.counted, { fromMs: 2_001, pointsBefore: 1, latencies: { count: 2 } })
  t.ok(progress.counted.latencies.max < 2_000)

  const short = new Progress(silent, { stats, warmUpMs: 2_000, elapsedMs: () => 1_000, skippedPoints: () => 0 })
  answered(1)
  short.stopped()
  mock.timers.tick(2_000)
  short.stop()
  t.match(short.counted, { fromMs: 0, pointsBefore: 0, latencies: { count: 1 } }, 'stopped before it was over')
  t.end()
})

t.test('stop ends an endless run, and one that has not started', async t => {
  const { url } = await startServer(t, accept)
  const stop = new AbortController()
  const running = simulate(options(url, { durationMs: 0 }), silent, stop.signal)
  setTimeout(() => stop.abort(), 50)
  const summary = await running
  t.ok(summary.sent > 0 && summary.sent === summary.accepted)
  t.match(await simulate(options(url), silent, stop.signal), {
    sent: 0,
    seconds: 0,
    rate_sent: 0,
    accepted_share: null,
    ok: false
  })
})

t.test('progress: one rewritten line on a terminal', async t => {
  const { url } = await startServer(t, accept)
  const stop = new AbortController()
  const written: string[] = []
  const terminal = {
    isTTY: true,
    columns: 60,
    write: (text: string) => {
      written.push(text)
      stop.abort()
    }
  }
  const summary = await simulate(options(url, { durationMs: 0 }), terminal, stop.signal)
  t.match(written[0]?.slice(4), /^\d+ s {2}[\d,]+ points\/s {2}p50 [\d.]+ ms {2}p99 [\d.]+ ms {2}sent \d+/)
  t.ok(written[0]?.startsWith('\r\u001b[K'))
  t.equal(written[0]?.length, 4 + 59, 'truncated to the terminal width')
  t.equal(written.at(-1), '\r\u001b[K')
  t.ok(summary.latency_ms.p50 > 0, 'latencies from before the line are in the summary')
})

t.test('progress: a plain line every ten seconds elsewhere', async t => {
  useSteadyClock(t)
  const { url } = await startServer(t, refuse(503, 'overloaded'))
  const stop = new AbortController()
  const realSetInterval = globalThis.setInterval
  globalThis.setInterval = ((handler: () => void, ms: number) =>
    realSetInterval(handler, ms / 100)) as typeof setInterval
  t.teardown(() => { globalThis.setInterval = realSetInterval })
  const written: string[] = []
  await simulate(options(url, { durationMs: 0 }), {
    write: (text: string) => { if (written.push(text) === 2) stop.abort() }
  }, stop.signal)
  t.match(written[1], /^\d+ s {2}.* accepted 0 {2}failed \d+\n$/)
})

t.test('progress: the rate since the line before', t => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
  t.teardown(() => mock.timers.reset())
  const stats = createStats(true)
  const written: string[] = []
  let elapsedMs = 0
  const terminal = { isTTY: true, columns: 80, write: (text: string) => written.push(text) }
  const progress = new Progress(terminal, { stats, warmUpMs: 0, elapsedMs: () => elapsedMs, skippedPoints: () => 0 })
  for (const [points, ms] of [[1_000, 1_000], [3_000, 2_500]] as const) {
    stats.sentPoints += points
    elapsedMs += ms
    mock.timers.tick(1_000)
  }
  progress.stop()
  t.match(written.map((line) => line.slice(4)), [/^1 s {2}1,000 points\/s .*sent 1,000 /, /^4 s {2}1,200 points\/s /, ''])
  t.end()
})

t.test('waiting for the server', async t => {
  const { url } = await startServer(t, accept)
  t.equal(await waitForServer(url, 60_000, never), null)
  t.equal(await waitForServer(new URL('http://127.0.0.1:1'), 60_000, AbortSignal.abort()), null, 'told to stop')
  let asked = 0
  const starting = await startServer(t, (request, response) =>
    (++asked < 3 ? refuse(503, 'not_ready') : accept)(request, response))
  t.equal(await waitForServer(starting.url, 60_000, never), null)
  t.equal(asked, 3)
  const mute = await startServer(t, () => {})
  t.equal(await waitForServer(mute.url, 150, never), 'TimeoutError')
  const notReady = await startServer(t, refuse(503, 'not_ready'))
  // A minute for each request, after which the time is up.
  let looks = 0
  const clock = mock.method(performance, 'now', () => ++looks % 3 === 0 ? 60_000 : 0)
  t.teardown(() => clock.mock.restore())
  t.equal(await waitForServer(new URL('http://127.0.0.1:1'), 60_000, never), 'ECONNREFUSED')
  t.equal(await waitForServer(notReady.url, 60_000, never), null, 'its answers say more')
  t.equal(looks, 6)
})
