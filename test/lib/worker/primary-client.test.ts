import t from 'tap'
import type { ToPrimary } from '../../../lib/messages/messages.js'
import { PrimaryClient } from '../../../lib/worker/primary-client.js'

const ANSWER = { status: 200, contentType: 'text/plain', body: 'well' }

function rig (): { readonly sent: Array<Extract<ToPrimary, { type: 'ask' }>>, readonly status: PrimaryClient } {
  const sent: Array<Extract<ToPrimary, { type: 'ask' }>> = []
  const status = new PrimaryClient((message) => {
    if (message.type === 'ask') sent.push(message)
  })
  return { sent, status }
}

t.test('answers reach the callers, in any order', async (t) => {
  const { sent, status } = rig()
  const health = status.health()
  const metrics = status.metrics()
  t.strictSame(sent.map(({ question }) => question), [{ kind: 'health' }, { kind: 'metrics' }])
  t.not(sent[0]?.id, sent[1]?.id)
  status.answered(sent[1]!.id, { ...ANSWER, body: 'metrics' })
  status.answered(sent[0]!.id, { ...ANSWER, body: 'health' })
  t.equal((await health).body, 'health')
  t.equal((await metrics).body, 'metrics')
})

t.test('an unexpected answer is dropped', async (t) => {
  const { sent, status } = rig()
  status.answered(77, ANSWER)
  const asked = status.health()
  status.answered(sent[0]!.id, ANSWER)
  status.answered(sent[0]!.id, { ...ANSWER, body: 'late' })
  t.strictSame(await asked, ANSWER)
})

t.test('a silent primary: every caller gets a 503 after two seconds; late answers are dropped', async (t) => {
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

t.test('500 concurrent callers cause two questions, and each gets an answer made after it asked', async (t) => {
  const { sent, status } = rig()
  const asked = Array.from({ length: 500 }, async () => (await status.health()).body)
  t.equal(sent.length, 1)
  status.answered(sent[0]!.id, { ...ANSWER, body: 'first' })
  t.equal(await asked[0], 'first')
  t.equal(sent.length, 2)
  status.answered(sent[1]!.id, { ...ANSWER, body: 'second' })
  t.strictSame(new Set((await Promise.all(asked)).slice(1)), new Set(['second']))
  const later = status.health()
  t.equal(sent.length, 3, 'answers are not cached')
  status.answered(sent[2]!.id, ANSWER)
  await later
})

t.test('different questions are limited; health, metrics and repeated questions do not count', async (t) => {
  const { sent, status } = rig()
  const anomalies = async (limit: number): ReturnType<PrimaryClient['ask']> =>
    await status.ask({ kind: 'anomalies', query: `limit=${limit}` })
  const change = async (): ReturnType<PrimaryClient['ask']> =>
    await status.ask({ kind: 'patch-limits', metric: 'x', value: {}, ifMatch: '', changedBy: '' })
  const asked = Array.from({ length: 40 }, async (_, index) => await anomalies(index + 1))
  const same = Array.from({ length: 40 }, async () => await anomalies(1))
  const changes = Array.from({ length: 3 }, change)
  const health = status.health()
  t.equal(sent.length, 32 + 1)
  const senders = status.senders({ offset: 0, limit: 1, sender: null })
  for (const refused of await Promise.all([...asked.slice(32), ...changes, senders])) {
    t.match(refused, { status: 429, body: /too_busy/, headers: [['retry-after', '1']] })
  }
  for (let index = 0; index < sent.length; index++) {
    status.answered(sent[index]!.id, ANSWER)
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(sent.length, 34, 'forty callers with the same question cause one more')
  for (const { status } of await Promise.all([...asked.slice(0, 32), ...same, health])) t.equal(status, 200)
  const [one, two] = [change(), change()]
  t.equal(sent.length, 36, 'changes are never shared')
  for (const { id } of sent.slice(34)) status.answered(id, ANSWER)
  await Promise.all([one, two])
})
