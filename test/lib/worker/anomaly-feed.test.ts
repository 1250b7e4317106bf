/** Live anomalies, from workers to streams: bounds, numbers, gaps. */
import { mock } from 'node:test'
import t from 'tap'
import { AnomalyFeed, type FoundAnomalies } from '../../../lib/worker/anomaly-feed.js'
import { AnomalyHub } from '../../../lib/primary/live/anomaly-hub.js'
import type { AnomalyEvents } from '../../../lib/ingress/http/live/anomaly-stream.js'
import { payloadOf, type PlainPoint } from '../../support/points/limits.js'

const TIME = 1_700_000_000_000_000
const points = (count: number): PlainPoint[] => Array.from({ length: count }, (_, index) => ['A', TIME + index, 11])

t.test('a worker sends some and counts all, with one message in flight', (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const sent: FoundAnomalies[] = []
  const onSent: Array<() => void> = []
  const feed = new AnomalyFeed((found, done) => {
    sent.push(found)
    onSent.push(done)
  })
  feed.take(payloadOf([['A', TIME, 1]]))
  mock.timers.tick(1_000)
  t.equal(sent.length, 0, 'nothing found, nothing sent')
  feed.take(payloadOf(points(2)))
  feed.take(payloadOf(points(300)))
  mock.timers.tick(100)
  t.equal(sent.length, 1)
  t.equal(sent[0]?.total, 302)
  t.equal(sent[0]?.anomalies.length, 200)
  t.match(JSON.parse(sent[0]?.anomalies[0] ?? ''), { satellite_id: 'A', value: 11, limit: 10 })
  feed.take(payloadOf(points(1)))
  mock.timers.tick(500)
  t.equal(sent.length, 1, 'the previous message is still in flight')
  onSent[0]?.()
  mock.timers.tick(100)
  t.match(sent[1], { total: 1 })
  t.end()
})

interface Sent { readonly to: string, readonly events: AnomalyEvents }

function hub (): { hub: AnomalyHub<string>, sent: Sent[], settle: () => void } {
  const sent: Sent[] = []
  const onSent: Array<() => void> = []
  return {
    hub: new AnomalyHub<string>('run', (to, events, done) => {
      sent.push({ to, events })
      onSent.push(done)
    }),
    sent,
    settle: () => { for (const done of onSent.splice(0)) done() }
  }
}

t.test('numbers all anomalies in one sequence, and sends them to workers with streams', (t) => {
  const { hub: center, sent, settle } = hub()
  center.add({ anomalies: ['a'], total: 1 })
  t.strictSame(center.watch('one', ''), { run: 'run', head: 1, after: 1, first: 2, anomalies: [], known: true })
  center.add({ anomalies: ['b', 'c'], total: 5 })
  t.strictSame(sent, [{ to: 'one', events: { first: 2, anomalies: ['b', 'c'], head: 6 } }])
  center.add({ anomalies: ['d'], total: 1 })
  t.equal(sent.length, 1, 'at most one message is in flight')
  settle()
  center.watch('two', '')
  center.add({ anomalies: ['e'], total: 1 })
  t.strictSame(sent.slice(1), ['one', 'two'].map((to) => ({ to, events: { first: 8, anomalies: ['e'], head: 8 } })))
  settle()
  center.unwatch('one')
  center.add({ anomalies: ['f'], total: 1 })
  t.strictSame(sent.slice(3).map(({ to }) => to), ['two'])
  t.end()
})

t.test('a client that reconnects', (t) => {
  const { hub: center } = hub()
  center.add({ anomalies: ['a', 'b'], total: 2 })
  t.match(center.watch('one', 'run-1'), { after: 1, first: 2, anomalies: ['b'], known: true })
  t.match(center.watch('one', 'run-2'), { after: 2, anomalies: [], known: true })
  for (const id of ['other-1', 'run-3', 'nonsense', 'run-x']) {
    t.match(center.watch('one', id), { after: 2, anomalies: [], known: false }, id)
  }
  center.add({ anomalies: ['c'], total: 3 })
  center.add({ anomalies: ['f'], total: 1 })
  const expected = { after: 1, first: 6, anomalies: ['f'], head: 6 }
  t.match(center.watch('one', 'run-1'), expected, 'omitted anomalies leave a gap')
  for (let index = 0; index < 30_000; index++) center.add({ anomalies: ['x'], total: 1 })
  const late = center.watch('one', 'run-1')
  t.equal(late.anomalies.length, 1_000, 'bounded')
  t.equal(late.first + late.anomalies.length - 1, late.head)
  t.end()
})
