import t from 'tap'
import { complaintOf } from '../../benchmarks/server.js'
import {
  addComplaint, addServer, refuseWhenEnding, removeServer, stopServers, takeComplaints
} from '../../benchmarks/servers.js'

t.test('an error is reported once', t => {
  addComplaint('a')
  addComplaint('a')
  addComplaint('b')
  t.same(takeComplaints(), ['a', 'b'])
  t.same(takeComplaints(), [])
  t.end()
})

t.test('error lines are reported with their cause', t => {
  t.equal(complaintOf({ level: 'error', msg: 'points do not add up' }), 'points do not add up')
  t.equal(complaintOf({ level: 'fatal', msg: 'm', err: { message: 'cause' } }), 'm: cause')
  t.equal(complaintOf({ level: 50, msg: 'm', reason: 'why' }), 'm: why')
  t.equal(complaintOf({ level: 'warn', msg: 'm' }), null)
  t.equal(complaintOf({ level: 30, msg: 'm' }), null)
  t.end()
})

t.test('all servers are stopped, even after a failure; then none can be started', async t => {
  const stopped: string[] = []
  const server = (name: string, failure?: Error) => ({
    stop: (): Promise<void> => {
      stopped.push(name)
      return failure === undefined ? Promise.resolve() : Promise.reject(failure)
    }
  })
  const gone = server('gone')
  for (const each of [server('a', new Error('stuck')), server('b'), gone]) addServer(each)
  removeServer(gone)
  t.doesNotThrow(refuseWhenEnding)
  await t.rejects(stopServers(), { message: 'stuck' })
  t.same(stopped, ['a', 'b'])
  t.throws(refuseWhenEnding, /ending/)
})
