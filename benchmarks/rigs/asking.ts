/** What goes on for as long as a load runs. */

/** Whether a promise has settled, to be looked at. */
export function watched (promise: Promise<unknown>): { readonly isOver: boolean } {
  const state = { isOver: false }
  const over = (): void => { state.isOver = true }
  promise.then(over, over)
  return state
}

/**
 * Asks questions in turn, one at a time and without a pause, until the load is over.
 * @returns the times of each, in milliseconds
 */
export async function askInTurn (
  questions: ReadonlyArray<() => Promise<void>>, sending: Promise<unknown>
): Promise<number[][]> {
  const load = watched(sending)
  const times = questions.map((): number[] => [])
  while (!load.isOver) {
    for (const [position, ask] of questions.entries()) {
      const startMs = performance.now()
      await ask()
      times[position]?.push(performance.now() - startMs)
    }
  }
  return times
}
