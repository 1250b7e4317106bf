import { BUILT_IN } from '../../support/points/built-in.js'
import t from 'tap'
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

interface SentPoint { satellite_id: string, time: string }

t.test('sends the requested points, evenly, when they are due', async t => {
  const { url, received } = await startServer(t, accept)
  const startedMs = Date.now()
  const summary = await simulate(options(url), silent, never)
  t.match(summary, { seed: 42, failed: 0, skipped_unanswered: 0, rate_asked: 200, ok: true, accepted_share: 1 })
  t.equal(summary.sent + summary.skipped_late, 100)
  t.equal(summary.accepted, summary.sent)
  t.ok(summary.seconds >= 0.5)
  t.ok(summary.latency_ms.p50 > 0 && summary.latency_ms.p50 <= summary.latency_ms.max)
  const points = received.map(({ body }) => JSON.parse(body) as SentPoint)
  t.equal(points.length, summary.sent)
  for (let satellite = 1; satellite <= 10; satellite++) {
    const id = `SAT-${String(satellite).padStart(4, '0')}`
    const times = points.filter(point => point.satellite_id === id).map(({ time }) => Date.parse(time))
    t.ok(times.length <= 10 && times.length >= 10 - summary.skipped_late, id)
    t.ok(times.every(time => time >= startedMs && time <= startedMs + 5_000))
    t.equal(new Set(times).size, times.length)
  }
})

t.test('a seed repeats the values of a run', async t => {
  const runs: Array<Set<string>> = []
  for (const seed of [42, 42, 43]) {
    const { url, received } = await startServer(t, accept)
    await simulate(options(url, { seed, durationMs: 300 }), silent, never)
    runs.push(new Set(received.map(({ body }) => body.replace(/"time":"[^"]*",/, ''))))
  }
  const [first, second, other] = runs
  const common = (run: Set<string>): number => [...first!].filter(point => run.has(point)).length
  // Points skipped because the machine stalled are missing, and shift those after them.
  t.ok(common(second!) >= 10, `${common(second!)} of 60`)
  t.equal(common(other!), 0)
})

t.test('an unresponsive server gets no more than the bound; the rest is skipped', async t => {
  const { url } = await startServer(t, () => {})
  const changes = { satellites: 50, rate: 1000, durationMs: 300, connectionsMax: 1, drainDeadlineMs: 100 }
  const summary = await simulate(options(url, changes), silent, never)
  t.equal(summary.failed, summary.sent)
  t.ok(summary.sent <= 2_000 && summary.skipped_unanswered > 0, `${summary.sent} sent`)
  // 50,000/s for 300 ms, of which the rate rises from 1,000/s for 75.
  t.equal(summary.sent + summary.skipped_unanswered + summary.skipped_late, 13_163)
  t.match(summary, { ok: false, accepted: 0, failures: [{ cause: 'no answer' }] })
})

t.test('the warm-up is sent and accepted like the rest', async t => {
  const { url } = await startServer(t, accept)
  const summary = await simulate(options(url, { rate: 120, durationMs: 1_000 }), silent, never)
  t.ok(summary.warm_up_seconds > 0)
  // 1,200/s for a second, of which the rate rises from 1,000/s for 50 ms.
  t.equal(summary.sent + summary.skipped_late, 1_195)
  t.equal(summary.accepted, summary.sent)
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
  t.match(written[0]?.slice(4), /^1 s {2}[\d,]+ points\/s {2}p50 [\d.]+ ms {2}p99 [\d.]+ ms {2}sent \d+/)
  t.ok(written[0]?.startsWith('\r\u001b[K'))
  t.equal(written[0]?.length, 4 + 59, 'truncated to the terminal width')
  t.equal(written.at(-1), '\r\u001b[K')
  t.ok(summary.latency_ms.p50 > 0, 'latencies from before the line are in the summary')
})

t.test('progress: a plain line every ten seconds elsewhere', async t => {
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

t.test('waiting for the server', async t => {
  t.equal(await waitForServer((await startServer(t, accept)).url, 2_000, never), null)
  t.equal(await waitForServer(new URL('http://127.0.0.1:1'), 150, never), 'ECONNREFUSED')
  t.equal(await waitForServer(new URL('http://127.0.0.1:1'), 2_000, AbortSignal.abort()), null, 'told to stop')
  let asked = 0
  const starting = await startServer(t, (request, response) =>
    (++asked < 3 ? refuse(503, 'not_ready') : accept)(request, response))
  t.equal(await waitForServer(starting.url, 5_000, never), null)
  t.equal(asked, 3)
  t.equal(
    await waitForServer((await startServer(t, refuse(503, 'not_ready'))).url, 1_000, never),
    null,
    'its answers say more'
  )
  const mute = await startServer(t, () => {})
  t.equal(await waitForServer(mute.url, 150, never), 'TimeoutError')
})
