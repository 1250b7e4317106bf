/**
 * A small pseudorandom number generator: the same seed gives the same numbers on every machine.
 *
 * The algorithm is sfc32 ("Small Fast Counting", 32-bit words, 128 bits of state) from Chris Doty-Humphrey's PractRand,
 * https://pracrand.sourceforge.net, with its seeding: two words, then twelve numbers discarded. The second word selects
 * a stream, so that each satellite has its own numbers.
 */
const WARM_UP_ROUNDS = 12

export class Random {
  private a = 0
  private b: number
  private c: number
  private counter = 1

  /** @param seed and @param stream whole numbers; the low 32 bits are used */
  constructor (seed: number, stream: number) {
    this.b = seed | 0
    this.c = stream | 0
    for (let round = 0; round < WARM_UP_ROUNDS; round++) this.unit()
  }

  /** The next number, in [0, 1). */
  unit (): number {
    const { b, c } = this
    const word = (this.a + b + this.counter) | 0
    this.counter = (this.counter + 1) | 0
    this.a = b ^ (b >>> 9)
    this.b = (c + (c << 3)) | 0
    this.c = (((c << 21) | (c >>> 11)) + word) | 0
    return (word >>> 0) / 0x1_0000_0000
  }

  /** The next number, in [low, high). */
  between (low: number, high: number): number {
    return low + (high - low) * this.unit()
  }
}
