/** The latest rows of a series, in fixed memory: a time and the same number of values each. NaN stands for no value. */
export class Ring {
  private readonly cells: Float64Array
  private readonly width: number
  private next = 0
  private used = 0

  constructor (readonly capacity: number, readonly columns: number) {
    this.width = columns + 1
    this.cells = new Float64Array(capacity * this.width)
  }

  get length (): number {
    return this.used
  }

  /** Time of the newest row; -Infinity if there is none. */
  get lastTime (): number {
    return this.used === 0 ? -Infinity : this.cells[(this.next + this.capacity - 1) % this.capacity * this.width] ?? NaN
  }

  /** Rows come in order of time; one that does not is left out. */
  push (time: number, values: ReadonlyArray<number | null>): boolean {
    if (!(time > this.lastTime)) return false
    const at = this.next * this.width
    this.cells[at] = time
    for (let column = 0; column < this.columns; column++) this.cells[at + 1 + column] = values[column] ?? NaN
    this.next = (this.next + 1) % this.capacity
    this.used = Math.min(this.used + 1, this.capacity)
    return true
  }

  clear (): void {
    this.used = 0
  }

  /** Columns from oldest to newest, times first, of the rows after `since`; null where there is no value. */
  read (since = -Infinity): [number[], ...Array<Array<number | null>>] {
    const times: number[] = []
    const columns = Array.from({ length: this.columns }, (): Array<number | null> => [])
    for (let index = 0; index < this.used; index++) {
      const at = (this.next + this.capacity - this.used + index) % this.capacity * this.width
      const time = this.cells[at] ?? NaN
      if (!(time > since)) continue
      times.push(time)
      for (let column = 0; column < this.columns; column++) {
        const value = this.cells[at + 1 + column] ?? NaN
        columns[column]?.push(Number.isNaN(value) ? null : value)
      }
    }
    return [times, ...columns]
  }
}
