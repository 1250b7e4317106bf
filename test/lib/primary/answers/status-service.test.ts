/** A flood of requests for /health and /metrics costs the processes little. */
import t from 'tap'
import type { StatusAnswer } from '../../../../lib/ingress/http/api/status-port.js'
import { StatusService } from '../../../../lib/primary/answers/status-service.js'
import type { ToWorker } from '../../../../lib/messages/messages.js'
import type { Slot } from '../../../../lib/primary/slots.js'
import { WorkerReports } from '../../../../lib/primary/counts/worker-reports.js'
import { slotOf } from '../../../support/programs/slots.js'

interface Rig { readonly desk: StatusService, readonly messages: ToWorker[], made: number }

/** Workers that report in the next turn of the event loop. */
function rig (workers: number): Rig {
  const slots = Array.from({ length: workers }, (_, number) => slotOf({ number }))
  const reports = new WorkerReports()
  const messages: ToWorker[] = []
  const send = (_slot: Slot, message: ToWorker): boolean => {
    messages.push(message)
    if (message.type === 'report?') setImmediate(() => reports.received(message.id))
    return true
  }
  const answer = (body: string): StatusAnswer => {
    return { status: 200, contentType: 'text/plain', body: `${body} ${++found.made}` }
  }
  const desk = new StatusService({
    collect: async () => await reports.collect({ all: slots, send }),
    health: () => answer('health'),
    metrics: async () => await Promise.resolve(answer('metrics'))
  })
  const found: Rig = { desk, messages, made: 0 }
  return found
}

t.test('500 concurrent requests cause a few rounds of reports', async (t) => {
  const { desk, messages } = rig(4)
  const ask = async (index: number): Promise<StatusAnswer> => await desk.answer(index % 2 === 0 ? 'health' : 'metrics')
  const answers = await Promise.all(Array.from({ length: 500 }, async (_, index) => await ask(index)))
  t.ok(messages.length <= 5 * 4, `${messages.length} messages`)
  t.ok(new Set(answers.map(({ body }) => body)).size <= 4)
})

t.test('an occasional request gets a fresh answer; a flood shares answers up to a few hundred ms old', async (t) => {
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
  t.ok(messages.length >= 4, 'no answer is reused for long')
})
