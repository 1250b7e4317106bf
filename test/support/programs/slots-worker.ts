/** A minimal worker: behaves as SLOTS_WORKER says, with the messages of lib/messages/messages.ts. */
import { LAST_REPORT, type ToPrimary, type ToWorker } from '../../../lib/messages/messages.js'
import { reportOf } from './slots.js'

const mode = process.env['SLOTS_WORKER'] ?? 'serve'

function send (message: ToPrimary, then?: () => void): void {
  process.send?.(message, undefined, undefined, then === undefined ? undefined : () => then())
}

process.on('message', (message: ToWorker) => {
  if (message.type === 'start') {
    if (mode === 'fatal') send({ type: 'fatal', message: 'no such file' }, () => process.exit(1))
    else if (mode === 'first is broken' && message.settings.slot === 0) process.exit(4)
    else if (mode === 'exit' || (mode === 'successors fail' && message.settings.slot > 0)) process.exit(3)
    else send({ type: 'ready', engine: `engine of ${message.settings.slot}` })
  } else if (message.type === 'report?') {
    send({ type: 'report', id: message.id, report: reportOf({ waiting: 7 }) })
  } else if (message.type === 'retire') {
    if (mode === 'retires badly') process.exit(5)
    send({ type: 'report', id: LAST_REPORT, report: reportOf({ waiting: 3 }) }, () => process.exit(0))
  } else if (message.type === 'stop' && mode === 'tell') {
    // Fills the channel, so the process has exited before all of it is read.
    const metrics = [{ name: 'x'.repeat(150_000) }]
    send({ type: 'report', id: LAST_REPORT, report: reportOf({ waiting: 9, metrics }) }, () => process.exit(0))
  } else if (message.type === 'stop' && mode !== 'deaf') {
    process.exit(0)
  }
})
send({ type: 'hello' })
