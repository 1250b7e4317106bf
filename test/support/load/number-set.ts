/** A dense set of integers at one byte each, so that millions stay small. */
const FIRST_BYTES = 4096

export class NumberSet {
  size = 0
  private members = new Uint8Array(FIRST_BYTES)

  /** @param first the smallest number that may be added */
  constructor (private readonly first: number) {}

  add (number: number): void {
    const index = number - this.first
    if (!Number.isInteger(index) || index < 0) throw new RangeError(`${number} is not an integer from ${this.first} up`)
    if (index >= this.members.length) {
      const larger = new Uint8Array(Math.max(this.members.length * 2, index + 1))
      larger.set(this.members)
      this.members = larger
    }
    if (this.members[index] === 0) this.size++
    this.members[index] = 1
  }

  has (number: number): boolean {
    return this.members[number - this.first] === 1
  }

  * [Symbol.iterator] (): Generator<number> {
    for (let index = 0; index < this.members.length; index++) if (this.members[index] === 1) yield this.first + index
  }
}
