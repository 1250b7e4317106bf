import t from 'tap'
import { dispatch, type PrimaryHandlers, type ToPrimary } from '../../../lib/messages/messages.js'

t.test('a message reaches the handler of its type, with its sender', (t) => {
  const calls: unknown[] = []
  const handlers: Pick<PrimaryHandlers<string>, 'ready' | 'fatal'> = {
    ready: ({ engine }, sender) => calls.push(['ready', engine, sender]),
    fatal: ({ message }, sender) => calls.push(['fatal', message, sender])
  }
  const messages: Array<Extract<ToPrimary, { type: keyof typeof handlers }>> = [
    { type: 'fatal', message: 'no disk' },
    { type: 'ready', engine: 'node' }
  ]
  for (const message of messages) dispatch(handlers, message, 'worker 3')
  t.strictSame(calls, [['fatal', 'no disk', 'worker 3'], ['ready', 'node', 'worker 3']])
  t.end()
})
