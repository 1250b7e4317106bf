import t from 'tap'
import {
  ANSWER_BYTES_MAX, PASSING_BYTES_MAX, PassingAnswers
} from '../../../../lib/primary/answers/passing-answers.js'
import type { StatusAnswer } from '../../../../lib/ingress/http/api/status-port.js'

function answerOf (bytes: number): StatusAnswer {
  return { status: 200, contentType: 'application/json', body: '"'.repeat(bytes) }
}

/** A channel that takes nothing until it is told to. */
function channel () {
  const sent: StatusAnswer[] = []
  const pending: Array<() => void> = []
  const send = (answer: StatusAnswer, onSent: () => void): boolean => {
    sent.push(answer)
    pending.push(onSent)
    return true
  }
  return { sent, send, read: () => pending.splice(0).forEach((onSent) => onSent()) }
}

t.test('large answers to workers that do not read are bounded in sum; small ones pass', (t) => {
  const passing = new PassingAnswers()
  const { sent, send, read } = channel()
  for (let count = 0; count < 20; count++) passing.pass(answerOf(10_000_000), send)
  t.same(sent.map(({ status }) => status), [...Array<number>(6).fill(200), ...Array<number>(14).fill(503)])
  t.match(sent.at(-1), { body: /answers_unread/, headers: [['retry-after', '1']] })
  t.ok(passing.bytes <= PASSING_BYTES_MAX)
  t.equal(passing.refused, 14)
  passing.pass(answerOf(1_000), send)
  t.equal(sent.at(-1)?.status, 200)
  read()
  t.equal(passing.bytes, 0)
  passing.pass(answerOf(10_000_000), send)
  t.equal(sent.at(-1)?.status, 200)
  t.end()
})

t.test('an answer of any size gets a client something', (t) => {
  const passing = new PassingAnswers()
  const { sent, send } = channel()
  passing.pass(answerOf(ANSWER_BYTES_MAX), send)
  passing.pass(answerOf(ANSWER_BYTES_MAX + 1), send)
  t.match(sent, [{ status: 200 }, { status: 400, body: /more than 32 MB: ask for fewer/ }])
  t.end()
})

t.test('an answer for a worker that has died does not count', (t) => {
  const passing = new PassingAnswers()
  passing.pass(answerOf(1_000_000), () => false)
  t.equal(passing.bytes, 0)
  t.end()
})
