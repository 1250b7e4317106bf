import t from 'tap'
import { StateMachine } from '../../../lib/support/state-machine.js'

t.test('changes along its transitions only', (t) => {
  const machine = new StateMachine<'off' | 'on' | 'broken'>('lamp', 'off', {
    off: ['on'],
    on: ['off', 'broken'],
    broken: []
  })
  machine.to('on')
  t.equal(machine.current, 'on')
  t.ok(machine.is('off', 'on'))
  t.notOk(machine.is('off', 'broken'))
  t.throws(() => { machine.to('on') }, /lamp: on cannot follow on/)
  machine.to('broken')
  t.throws(() => { machine.to('off') }, /lamp: off cannot follow broken/)
  t.equal(machine.current, 'broken')
  t.end()
})
