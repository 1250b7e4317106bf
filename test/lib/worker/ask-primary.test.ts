import t from 'tap'
import type { ToPrimary } from '../../../lib/messages/messages.js'
import { PrimaryStatus } from '../../../lib/worker/ask-primary.js'

const ANSWER = { status: 200, contentType: 'text/plain', body: 'well' }

function rig (): { readonly sent: Array<Extract<ToPrimary, { type: 'ask' }>>, readonly status: PrimaryStatus } {
  const sent: Array<Extract<ToPrimary, { type: 'ask' }>> = []
  const status = new PrimaryStatus((message) => {
    if (message.type === 'ask') sent.push(message)
  })
  return { sent, status }
}

t.test('asks the primary and gives its answer to who asked, in any order', async (t) => {
  const { sent, status } = rig()
  const health = status.health()
  const metrics = status.metrics()
  t.strictSame(sent.map(({ question }) => question), ['health', 'metrics'])
  t.not(sent[0]?.id, sent[1]?.id)
  status.answered(sent[1]!.id, { ...ANSWER, body: 'metrics' })
  status.answered(sent[0]!.id, { ...ANSWER, body: 'health' })
  t.equal((await health).body, 'health')
  t.equal((await metrics).body, 'metrics')
})

t.test('an answer that nobody waits for is dropped', async (t) => {
  const { sent, status } = rig()
  status.answered(77, ANSWER)
  const asked = status.health()
  status.answered(sent[0]!.id, ANSWER)
  status.answered(sent[0]!.id, { ...ANSWER, body: 'late' })
  t.strictSame(await asked, ANSWER)
})

t.test('a primary that is silent: 503 after two seconds, for each who asked; a late answer changes nothing', async (t) => {
  const { sent, status } = rig()
  const startedMs = performance.now()
  const answers = await Promise.all([status.health(), status.metrics()])
  const tookMs = performance.now() - startedMs
  t.ok(tookMs > 1900 && tookMs < 10_000, `${tookMs} ms`)
  for (const answer of answers) {
    t.equal(answer.status, 503)
    t.match(JSON.parse(answer.body), { error: { code: 'not_ready', message: /./ } })
  }
  for (const { id } of sent) status.answered(id, ANSWER)
  const next = status.health()
  status.answered(sent.at(-1)!.id, ANSWER)
  t.strictSame(await next, ANSWER)
})

t.test('500 who ask at once are two questions, and each gets an answer that was made after it asked', async (t) => {
  const { sent, status } = rig()
  const asked = Array.from({ length: 500 }, async () => (await status.health()).body)
  t.equal(sent.length, 1)
  status.answered(sent[0]!.id, { ...ANSWER, body: 'first' })
  t.equal(await asked[0], 'first')
  t.equal(sent.length, 2)
  status.answered(sent[1]!.id, { ...ANSWER, body: 'second' })
  t.strictSame(new Set((await Promise.all(asked)).slice(1)), new Set(['second']))
  const later = status.health()
  t.equal(sent.length, 3, 'nothing is kept')
  status.answered(sent[2]!.id, ANSWER)
  await later
})

t.test('questions of many kinds have a bound; health, metrics and the same question again do not count', async (t) => {
  const { sent, status } = rig()
  const asked = Array.from({ length: 40 }, async (_, index) => await status.ask({ kind: 'anomalies', query: `limit=${index + 1}` }))
  const same = Array.from({ length: 40 }, async () => await status.ask({ kind: 'anomalies', query: 'limit=1' }))
  const changes = Array.from({ length: 3 }, async () => await status.ask({ kind: 'patch-limits', metric: 'x', value: {}, ifMatch: '', changedBy: '' }))
  const health = status.health()
  t.equal(sent.length, 32 + 1)
  const refused = await Promise.all([...asked.slice(32), ...changes, status.senders({ offset: 0, limit: 1, sender: null })])
  for (const { status, body, headers } of refused) t.match({ status, body, headers }, { status: 429, body: /too_busy/, headers: [['retry-after', '1']] })
  for (let index = 0; index < sent.length; index++) {
    status.answered(sent[index]!.id, ANSWER)
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(sent.length, 34, 'forty who ask the same are one more')
  t.strictSame(new Set((await Promise.all([...asked.slice(0, 32), ...same, health])).map(({ status }) => status)), new Set([200]))
  const [one, two] = [status.ask({ kind: 'patch-limits', metric: 'x', value: {}, ifMatch: '', changedBy: '' }), status.ask({ kind: 'patch-limits', metric: 'x', value: {}, ifMatch: '', changedBy: '' })]
  t.equal(sent.length, 36, 'changes are never shared')
  for (const { id } of sent.slice(34)) status.answered(id, ANSWER)
  await Promise.all([one, two])
})
