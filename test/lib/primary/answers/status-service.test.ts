/** What a flood of questions about the status costs the processes. */
import t from 'tap'
import { StatusDesk } from '../../../../lib/primary/answers/status-service.js'
import type { ToWorker } from '../../../../lib/messages/messages.js'
import type { Slot } from '../../../../lib/primary/slots.js'
import { WorkerReports } from '../../../../lib/primary/worker-reports.js'
import { slotOf } from '../../../support/slots.js'

interface Rig { readonly desk: StatusDesk, readonly messages: ToWorker[], made: number }

/** Workers that answer in the next turn of the loop. */
function rig (workers: number): Rig {
  const slots = Array.from({ length: workers }, (_, number) => slotOf({ number }))
  const reports = new WorkerReports()
  const messages: ToWorker[] = []
  const send = (_slot: Slot, message: ToWorker): void => {
    messages.push(message)
    if (message.type === 'report?') setImmediate(() => reports.received(message.id))
  }
  const answer = (body: string) => () => ({ status: 200, contentType: 'text/plain', body: `${body} ${++found.made}` })
  const found: Rig = {
    desk: new StatusDesk({ collect: async () => await reports.collect({ all: slots, send }), health: answer('health'), metrics: async () => await Promise.resolve(answer('metrics')()) }),
    messages,
    made: 0
  }
  return found
}

t.test('500 questions at once are a few rounds through the workers', async (t) => {
  const { desk, messages } = rig(4)
  const answers = await Promise.all(Array.from({ length: 500 }, async (_, index) => await desk.answer(index % 2 === 0 ? 'health' : 'metrics')))
  t.ok(messages.length <= 5 * 4, `${messages.length} messages`)
  t.ok(new Set(answers.map(({ body }) => body)).size <= 4)
})

t.test('one who asks now and then gets an answer of this moment; a flood shares what is some hundred ms old', async (t) => {
  const { desk, messages } = rig(1)
  const bodies = new Set<string>()
  const ask = async (): Promise<void> => { bodies.add((await desk.answer('health')).body) }
  for (let time = 0; time < 3; time++) await ask()
  t.equal(bodies.size, 3)
  const startedMs = performance.now()
  let asked = 0
  while (performance.now() - startedMs < 500 || asked < 1_000) {
    await ask()
    asked++
  }
  const roundsMax = 6 + (performance.now() - startedMs) / 200
  t.ok(messages.length <= roundsMax, `${messages.length} messages for ${asked} questions`)
  t.ok(messages.length >= 4, 'no answer is kept for long')
})
