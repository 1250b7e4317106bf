import t from 'tap'
import { BufferPool } from '../../../lib/support/buffer-pool.js'

t.test('a returned buffer is reused for requests of exactly its size', (t) => {
  const pool = new BufferPool(1000)
  const room = pool.take(100)
  t.equal(room.length, 100)
  pool.giveBack(room)
  t.not(pool.take(101), room)
  t.equal(pool.take(100), room)
  t.not(pool.take(100), room, 'once')
  t.end()
})

t.test('the pool is bounded, and taking a buffer frees capacity', (t) => {
  const pool = new BufferPool(250)
  const [first, second, third] = [pool.take(100), pool.take(100), pool.take(100)]
  for (const room of [first, second, third]) pool.giveBack(room)
  const kept = [pool.take(100), pool.take(100)]
  t.ok(kept.includes(first) && kept.includes(second))
  t.not(pool.take(100), third)
  pool.giveBack(third)
  t.equal(pool.take(100), third)
  t.end()
})
