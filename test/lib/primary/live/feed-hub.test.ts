/** The primary's side of the live feed: rounds, merging, gaps, bounds; and what is known without asking. */
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import type { FeedTick, FeedWant } from '../../../../lib/ingress/http/live/feed.js'
import { FeedHub } from '../../../../lib/primary/live/feed-hub.js'
import { ProblemLog } from '../../../../lib/primary/live/problem-log.js'
import { Throughput } from '../../../../lib/primary/live/throughput.js'
import { Totals } from '../../../../lib/primary/counts/metric-totals.js'
import type { GatherWant, NewestPart } from '../../../../lib/worker/newest-points.js'
import { catalogueOf } from '../../../support/points/catalogues.js'

const NOTHING: NewestPart = { satellites: [], more: 0, isLossy: false, points: [] }
const want = (changes: Partial<FeedWant> = {}): FeedWant => (
  { clients: 1, fleet: false, satellites: false, watched: [], ...changes })

class Rig {
  readonly asked: Array<{ worker: string, want: GatherWant | null }> = []
  readonly ticks: Array<{ worker: string, tick: FeedTick }> = []
  private readonly waiting = new Set<() => void>()
  readonly sent: Array<() => void> = []
  /** Answers of the workers; none: it hangs. */
  answers = new Map<string, () => NewestPart>([['a', () => NOTHING], ['b', () => NOTHING]])
  holdSent = false
  problems = { number: 1, text: '[]' }
  readonly hub: FeedHub<string>

  constructor () {
    this.hub = new FeedHub<string>({
      run: 'run',
      version: '1',
      streams: catalogueOf('x: { id: 1 }', 'y: { id: 2 }').streams,
      ready: () => ['a', 'b'],
      ask: (worker, asked) => {
        this.asked.push({ worker, want: asked })
        const answer = this.answers.get(worker)
        if (asked !== null && answer !== undefined) setImmediate(() => this.hub.received(worker, answer()))
      },
      send: (worker, tick, onSent) => {
        this.ticks.push({ worker, tick })
        if (this.holdSent) this.sent.push(onSent)
        else onSent()
        for (const wake of this.waiting) wake()
      },
      state: () => ({ problems: this.problems, limitsVersion: 7 }),
      fleet: (timeMs) => ({ time_ms: timeMs })
    })
    t.teardown(() => this.hub.close())
  }

  /** The next tick to a worker that fulfils the condition. */
  async tick (worker: string, isWanted: (tick: FeedTick) => boolean = () => true): Promise<FeedTick> {
    for (let at = this.ticks.length; ;) {
      for (; at < this.ticks.length; at++) {
        const next = this.ticks[at]!
        if (next.worker === worker && isWanted(next.tick)) return next.tick
      }
      await new Promise<void>((resolve) => this.waiting.add(resolve))
    }
  }
}

t.test('a stream begins after a round that asked everybody; the last client ends it', async (t) => {
  const rig = new Rig()
  const { hub } = rig
  t.equal(rig.asked.length, 0)
  const first = rig.tick('a')
  hub.want('a', 5, want({ fleet: true }))
  t.match(await first, { opened: [5], refused: [], run: 'run', limitsVersion: 7, satellites: null, points: [] })
  t.strictSame(rig.asked.map(({ worker }) => worker), ['a', 'b'])
  t.match(JSON.parse((await rig.tick('a')).fleet ?? ''), { time_ms: Number })
  t.ok(rig.ticks.every(({ worker }) => worker === 'a'), 'no tick for a worker without clients')
  hub.want('a', 0, want({ clients: 0 }))
  t.strictSame(rig.asked.slice(-2), [{ worker: 'a', want: null }, { worker: 'b', want: null }])
  const { length } = rig.asked
  await wait(600)
  t.equal(rig.asked.length, length, 'nothing is gathered while nobody watches')
})

t.test('the last client dies with its worker: the others are not asked any more', async (t) => {
  const rig = new Rig()
  const first = rig.tick('a')
  rig.hub.want('a', 1, want())
  await first
  const { length } = rig.asked
  rig.hub.died('a')
  await wait(400)
  t.strictSame(rig.asked.slice(length).map(({ want }) => want), [null, null])
})

t.test('what workers have is merged by time, and sent to those that want it', async (t) => {
  const rig = new Rig()
  rig.answers.set('a', () => ({
    ...NOTHING,
    satellites: [['A', 2, 0, 0], ['B', 5, 2, 0]],
    more: 3,
    points: [{ satellite: 'A', stream: 0, timeMs: 2, state: 0, values: [[0, 2, 1], [1, 2, 1]] }]
  }))
  rig.answers.set('b', () => ({
    ...NOTHING,
    satellites: [['A', 3, 1, 0], ['B', 4, 0, 0]],
    points: [{ satellite: 'A', stream: 0, timeMs: 3, state: 1, values: [[0, 3, 9]] }]
  }))
  const [toA, toB] = [rig.tick('a'), rig.tick('b')]
  rig.hub.want('a', 1, want({ satellites: true }))
  rig.hub.want('b', 1, want({ watched: ['A'] }))
  t.match(JSON.parse((await toA).satellites ?? ''), { changed: [['A', 3, 'warning'], ['B', 5, 'critical']], more: 3 })
  t.strictSame((await toA).points, [])
  t.strictSame((await toB).points, [
    { satellite: 'A', stream: 'telemetry', timeMs: 3, state: 'warning', values: { x: [3, 9], y: [2, 1] } }
  ])
  t.equal((await toB).satellites, null)
  t.strictSame(rig.asked[0]?.want, { satellites: true, isFull: false, watched: ['A'] })
})

t.test('a worker that hangs, dies or does not take its ticks holds nobody up; gaps are told', async (t) => {
  const rig = new Rig()
  rig.answers.delete('b')
  const opened = rig.tick('a')
  rig.hub.want('a', 1, want({ satellites: true }))
  t.match(await opened, { opened: [1], gaps: [{ cause: 'server_busy' }] }, 'b may not have been watched yet')
  const next = rig.tick('a')
  rig.hub.died('b')
  rig.answers.set('b', () => NOTHING)
  t.strictSame((await next).gaps, [{ cause: 'worker_died' }])
  t.strictSame((await rig.tick('a')).gaps, [])
  rig.holdSent = true
  await rig.tick('a')
  const { length } = rig.ticks
  await wait(700)
  t.equal(rig.ticks.length, length, 'one tick in flight')
  rig.holdSent = false
  rig.sent.splice(0).forEach((done) => done())
  const [gap] = (await rig.tick('a')).gaps
  t.match(gap, { cause: 'server_busy', ticks: Number })
  t.ok((gap?.ticks ?? 0) >= 1)
})

t.test('bounds: clients in all, satellites of an event', async (t) => {
  const rig = new Rig()
  const { hub } = rig
  const begun = rig.tick('b')
  hub.want('a', 1, want({ clients: 512, satellites: true }))
  hub.want('b', 9, want({ clients: 1 }))
  t.match(await begun, { opened: [], refused: [9], fleet: null, satellites: null })
  const id = (index: number): string => `"\\${String(index).padStart(62, '0')}`
  let part = 0
  const crowd = (): NewestPart => {
    part++
    return {
      ...NOTHING, satellites: Array.from({ length: 1_000 }, (_, index) => [id(part * 1_000 + index), 1, 2, 0])
    }
  }
  rig.answers.set('a', crowd).set('b', crowd)
  let isFull = false
  for (let round = 0; round < 6; round++) {
    const { satellites } = await rig.tick('a', (tick) => tick.satellites !== null)
    t.ok(Buffer.byteLength(satellites ?? '') <= 65_600)
    isFull ||= rig.asked.some(({ want: asked }) => asked?.isFull === true)
  }
  t.ok(isFull, 'workers keep the rest')
})

t.test('problems: since when, and a number that grows with each change', (t) => {
  const log = new ProblemLog()
  t.strictSame(log.current, { number: 0, text: '[]' })
  const away = { code: 'database_away', subject: '', message: 'gone' } as const
  log.update([away], 1_000)
  log.update([away], 2_000)
  t.equal(log.current.number, 1)
  t.strictSame(JSON.parse(log.current.text), [{ code: 'database_away', message: 'gone', since_ms: 1_000 }])
  log.update([{ ...away, message: 'still gone' }], 3_000)
  t.strictSame(JSON.parse(log.current.text), [{ code: 'database_away', message: 'still gone', since_ms: 1_000 }])
  log.update([], 4_000)
  log.update([away], 5_000)
  t.strictSame(JSON.parse(log.current.text), [{ code: 'database_away', message: 'gone', since_ms: 5_000 }])
  t.equal(log.current.number, 4)
  t.end()
})

t.test('rates over what there is, latencies of ten seconds', (t) => {
  const throughput = new Throughput()
  t.equal(throughput.rates(0, { http: 0, udp: 0 }, 3_000), null)
  const totals = (count: number): Totals => new Totals([{
    name: 'orbitstream_ack_seconds',
    values: [
      { metricName: 'orbitstream_ack_seconds_bucket', labels: { le: 1 }, value: count },
      { metricName: 'orbitstream_ack_seconds_bucket', labels: { le: '+Inf' }, value: count }
    ]
  }])
  for (let second = 0; second <= 400; second++) {
    throughput.add(second * 1_000, { http: second * 10, udp: Math.max(0, second - 390) }, totals(second * 2))
  }
  const now = { http: 4_005, udp: 10.5 }
  t.match(throughput.rates(400_500, now, 3_000), { http: 10, over_s: 3.5 })
  t.match(throughput.rates(400_500, now, 300_000), { over_s: 300.5, udp: 10.5 / 300.5 })
  t.match(throughput.latency(), {
    ack: { p50_s: 0.5, p99_s: 0.99, count: 20 }, commit: { p50_s: null, count: 0 }, over_s: 10
  })
  t.end()
})
