import t from 'tap'
import type { ToPrimary } from '../../../lib/cluster/messages.js'
import { PrimaryStatus } from '../../../lib/cluster/primary-status.js'

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
