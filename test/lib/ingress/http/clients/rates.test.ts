/** Token buckets, and what workers tell each other about them. */
import t from 'tap'
import { ClientBounds, type KnownClient } from '../../../../../lib/ingress/http/clients/client-bounds.js'
import { CLIENTS_MAX, ClientRates, USES_MAX } from '../../../../../lib/ingress/http/clients/rates.js'
import type { HttpRequest } from '../../../../../lib/ingress/http/engines/engine.js'
import { eventually } from '../../../../support/eventually.js'

t.test('requests: a burst of one second, then the rate', (t) => {
  let now = 0
  const client = new ClientRates(() => now).of('a', { requests: 10, points: null })
  for (let request = 0; request < 10; request++) t.equal(client.takeRequest(), 0)
  t.equal(client.takeRequest(), 1)
  let taken = 0
  for (; now < 10_000; now++) if (client.takeRequest() === 0) taken++
  t.ok(taken === 100 || taken === 99, 'refused requests cost nothing')
  t.equal(client.pointsWaitSeconds(), 0)
  t.end()
})

t.test('points: one body may be larger than the bucket, and is paid off', (t) => {
  let now = 0
  const client = new ClientRates(() => now).of('a', { requests: null, points: 100 })
  client.takePoints(1_000)
  t.equal(client.pointsWaitSeconds(), 10, '900 are owed, and one must be left')
  now = 9_000
  t.equal(client.pointsWaitSeconds(), 1)
  now = 9_010
  t.equal(client.pointsWaitSeconds(), 0)
  t.equal(client.takeRequest(), 0)
  t.end()
})

t.test('a million clients cost bounded memory, and one that owes is not forgotten before rested ones', (t) => {
  let now = 0
  const rates = new ClientRates(() => now)
  const bound = { requests: 10, points: null }
  for (let client = 0; client < CLIENTS_MAX; client++) rates.of(`c${client}`, bound)
  now = 2_000
  for (let request = 0; request < 11; request++) rates.of('c0', bound).takeRequest()
  for (let client = 0; client < 1_000_000; client++) rates.of(`d${client}`, bound)
  t.ok(rates.uses().length <= 1)
  const fresh = new ClientRates(() => now)
  for (let client = 0; client < CLIENTS_MAX; client++) fresh.of(`c${client}`, bound)
  for (let request = 0; request < 11; request++) fresh.of('c0', bound).takeRequest()
  fresh.of('another', bound)
  t.equal(fresh.of('c0', bound).takeRequest(), 1, 'it still owes')
  t.end()
})

t.test('workers share clients by what each tells the other', (t) => {
  const tokens = new Map<string, KnownClient>([
    ['token big', { client: 'token big', rates: { requests: null, points: 1_000_000 } }]
  ])
  const learnt: unknown[] = []
  const create = (): ClientBounds => new ClientBounds(
    { rates: { requests: 3, points: 100 }, trustedProxies: [] },
    {
      callerOf: (client) => tokens.get(client),
      newSatellites: () => [],
      learn: (satellites) => { learnt.push(...satellites) }
    })
  const [one, other] = [create(), create()]
  const request = { address: () => '192.0.2.1' } as HttpRequest
  t.equal(one.news(), null)
  for (let count = 0; count < 3; count++) one.clientOf(request, null)?.takeRequest()
  one.clientOf(request, null)?.takePoints(50)
  const big = tokens.get('token big') ?? null
  one.clientOf(request, big)?.takePoints(2_000_000)
  t.equal(one.clientOf(request, big)?.takeRequest(), 0, 'its requests are bounded as those of all')
  const news = one.news()
  t.strictSame(news?.uses, [['192.0.2.1', 3, 50], ['token big', 1, 2_000_000]])
  t.equal(one.news(), null)
  other.learn({ uses: news?.uses ?? [], satellites: [['token big', 'SAT-1']] })
  t.equal(other.clientOf(request, null)?.takeRequest(), 1)
  t.ok((other.clientOf(request, big)?.pointsWaitSeconds() ?? 0) > 0)
  t.equal(other.news(), null, 'what was learnt is not told again')
  t.strictSame(learnt, [['token big', 'SAT-1']])
  t.equal(new ClientBounds({ rates: { requests: null, points: null }, trustedProxies: [] }, {
    callerOf: () => undefined, newSatellites: () => [], learn: () => {}
  }).clientOf(request, null), null, 'no bounds, no client')
  t.end()
})

t.test('without other workers, a client is rested all the same', async (t) => {
  const bounds = new ClientBounds({ rates: { requests: 1_000, points: null }, trustedProxies: [] }, {
    callerOf: () => undefined, newSatellites: () => [], learn: () => {}
  })
  t.teardown(bounds.share(null))
  const client = bounds.clientOf({ address: () => '192.0.2.1' } as HttpRequest, null)
  t.equal(client?.takeRequest(), 0)
  t.equal(client?.isRested(), false)
  await eventually('the client is rested', 10_000, async () => await Promise.resolve(client?.isRested() || undefined))
})

t.test('a message has a bound; the rest follows', (t) => {
  const rates = new ClientRates(() => 0)
  for (let client = 0; client < 2_500; client++) rates.of(`c${client}`, { requests: 10, points: null }).takeRequest()
  t.strictSame([rates.uses(), rates.uses(), rates.uses(), rates.uses()].map(({ length }) => length), [
    USES_MAX, USES_MAX, 500, 0
  ])
  const named = new Set<string>()
  for (let message = 0; message < 3; message++) {
    for (let client = 0; client < 2_500; client++) rates.of(`c${client}`, { requests: 10, points: null }).takeRequest()
    for (const [name] of rates.uses()) named.add(name)
  }
  t.equal(named.size, 2_500, 'all take turns, however many go on sending')
  t.end()
})

t.test('while the primary takes nothing, a worker keeps its news, which do not queue up', async (t) => {
  const create = (): ClientBounds => new ClientBounds({ rates: { requests: 3, points: null }, trustedProxies: [] }, {
    callerOf: () => undefined,
    newSatellites: () => [['token', 'satellite']],
    learn: () => {}
  })
  let [told, toldElsewhere] = [0, 0]
  let goOn: () => void = () => {}
  const stop = create().share((_, onSent) => {
    told++
    goOn = onSent
  }, 1)
  await new Promise<void>((resolve) => {
    const stopElsewhere = create().share((_, onSent) => {
      onSent()
      if (++toldElsewhere === 5) goOn()
      if (toldElsewhere === 10) resolve(stopElsewhere())
    }, 1)
  })
  await stop()
  t.equal(told, 2)
})
