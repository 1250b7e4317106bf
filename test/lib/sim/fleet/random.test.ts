import t from 'tap'
import { Random } from '../../../../lib/sim/fleet/random.js'

const draw = (seed: number, stream: number, count: number): number[] => {
  const random = new Random(seed, stream)
  return Array.from({ length: count }, () => random.unit())
}

t.test('numbers are in [0, 1), uniform, and determined by seed and stream', t => {
  const numbers = draw(1, 2, 100_000)
  t.ok(numbers.every(number => number >= 0 && number < 1))
  const tenths = Array.from({ length: 10 }, (_, tenth) =>
    numbers.filter(number => Math.floor(number * 10) === tenth).length)
  t.ok(tenths.every(count => Math.abs(count - 10_000) < 400), tenths.join(' '))
  t.same(draw(1, 2, 10), numbers.slice(0, 10))
  t.notSame(draw(1, 3, 10), numbers.slice(0, 10))
  t.notSame(draw(2, 2, 10), numbers.slice(0, 10))
  t.end()
})

t.test('the generator is sfc32: its output equals that of an integer implementation', t => {
  const mask = 0xffff_ffffn
  let [a, b, c, counter] = [0n, 5n, 9n, 1n]
  const next = (): number => {
    const word = (a + b + counter) & mask
    counter = (counter + 1n) & mask
    a = b ^ (b >> 9n)
    b = (c + (c << 3n)) & mask
    c = (((c << 21n) | (c >> 11n)) + word) & mask
    return Number(word) / 2 ** 32
  }
  for (let round = 0; round < 12; round++) next()
  t.same(draw(5, 9, 1_000), Array.from({ length: 1_000 }, next))
  t.end()
})
