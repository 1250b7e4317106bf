import { AssertionError } from 'node:assert'
import t from 'tap'
import { Life } from '../../../../lib/ingress/udp/life.js'
import { JUMP_MAX, SEQUENCE_WINDOW, Window } from '../../../../lib/ingress/udp/window.js'

t.test('transitions from a wrong state throw', t => {
  const confirmed = new Life(1, 0, 9, 0)
  confirmed.confirm()
  const merged = new Life(1, 20, 21, 0)
  t.equal(merged.mergeInto(confirmed), 10)
  const dropped = new Life(2, 0, 0, 0)
  dropped.drop()
  for (const step of [
    () => confirmed.confirm(), () => confirmed.mergeInto(merged), () => merged.confirm(), () => merged.drop(),
    () => merged.mergeInto(confirmed), () => dropped.confirm(), () => dropped.mergeInto(confirmed), () => dropped.drop()
  ]) t.throws(step, AssertionError)
  t.match(confirmed.summary(), { first: 0, highest: 21, received: 2, missing: 20, confirmed: true })
  t.doesNotThrow(() => confirmed.drop())
  t.end()
})

t.test('a window that advances or extends too far throws', t => {
  const window = new Window(new Life(1, 0, 5, 0), '192.0.2.1').open(new Life(1, 5, 5, 0), '192.0.2.1')
  for (const seq of [5, 6 + JUMP_MAX]) t.throws(() => window.advance(seq), AssertionError)
  for (const seq of [5, 5 - SEQUENCE_WINDOW]) t.throws(() => window.extendDown(seq), AssertionError)
  window.advance(5 + JUMP_MAX)
  window.extendDown(4)
  t.match(window, { first: 4, highest: 5 + JUMP_MAX })
  t.end()
})
