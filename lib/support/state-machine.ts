/** A state that changes only along declared transitions. Any other change is a programming error and throws. */
export class StateMachine<State extends string> {
  /** @param transitions the successors of each state */
  constructor (
    private readonly name: string,
    private state: State,
    private readonly transitions: Readonly<Record<State, readonly State[]>>
  ) {}

  get current (): State {
    return this.state
  }

  is (...states: readonly State[]): boolean {
    return states.includes(this.state)
  }

  to (next: State): void {
    const { name, state } = this
    if (!this.transitions[state].includes(next)) throw new Error(`${name}: ${next} cannot follow ${state}`)
    this.state = next
  }
}
