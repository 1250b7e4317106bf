/** Runs tasks one per turn of the event loop, in order, so that whatever else is due comes in between. */
export class Turns {
  private readonly tasks: Array<() => void> = []

  add (task: () => void): void {
    if (this.tasks.push(task) === 1) setImmediate(() => this.next())
  }

  private next (): void {
    const task = this.tasks.shift()
    if (this.tasks.length > 0) setImmediate(() => this.next())
    task?.()
  }
}
