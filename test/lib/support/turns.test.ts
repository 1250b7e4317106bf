import t from 'tap'
import { Turns } from '../../../lib/support/turns.js'

t.test('one task a turn of the event loop, in order, also those that a task adds', async (t) => {
  const turns = new Turns()
  const done: string[] = []
  const turn = async (): Promise<string> => {
    await new Promise((resolve) => setImmediate(resolve))
    return done.splice(0).join()
  }
  turns.add(() => {
    done.push('a')
    turns.add(() => { done.push('c') })
  })
  turns.add(() => { done.push('b') })
  t.same([await turn(), await turn(), await turn(), await turn()], ['a', 'b', 'c', ''])
  turns.add(() => { done.push('d') })
  t.equal(await turn(), 'd')
})
