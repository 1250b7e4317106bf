/** Clients' questions: each kind reaches its function, and every failure becomes an answer. */
import t from 'tap'
import { jsonAnswer } from '../../../../lib/ingress/http/engines/answers.js'
import { answerQuestion, type Answers } from '../../../../lib/primary/answers/questions.js'
import { OperatingError } from '../../../../lib/support/errors.js'
import { createLogger } from '../../../../lib/support/log.js'

t.test('answers by kind', async (t) => {
  const lines: string[] = []
  const log = createLogger({ level: 'error', name: 'test', destination: { write: (line) => { lines.push(line) } } })
  const answers: Partial<Answers> = {
    senders: async ({ query }) => await Promise.resolve(jsonAnswer(query)),
    limits: () => Promise.reject(new OperatingError('database_unavailable', 'The database is down.')),
    health: () => Promise.reject(new Error('a bug'))
  }
  const ask = async (question: Parameters<typeof answerQuestion>[1]): ReturnType<typeof answerQuestion> =>
    await answerQuestion(answers as Answers, question, log)

  const query = { offset: 3, limit: 5, sender: null }
  t.match(await ask({ kind: 'senders', query }), { status: 200, body: `${JSON.stringify(query)}\n` })

  const refused = await ask({ kind: 'limits' })
  t.match(refused, { status: 503, headers: [['retry-after', '1']] })
  t.same(JSON.parse(refused.body), { error: { code: 'database_unavailable', message: 'The database is down.' } })
  t.equal(lines.length, 0, 'an operating error is not logged')

  t.match(await ask({ kind: 'health' }), { status: 500, body: /"internal"/ })
  t.match(lines, [/"question":"health"/])
})
