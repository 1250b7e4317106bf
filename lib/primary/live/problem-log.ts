/** Since when each of the current problems has existed. */
import type { Problem } from '../answers/problems.js'

export class ProblemLog {
  /** Milliseconds since 1970, by problem. */
  private since = new Map<string, number>()
  /** The list as JSON, and a number that grows when it changes. */
  current: { readonly number: number, readonly text: string } = { number: 0, text: '[]' }

  /** Takes all problems there are now. */
  update (problems: readonly Problem[], nowMs: number): void {
    const before = this.since
    this.since = new Map(problems.map(({ code, subject }) => {
      const key = `${code} ${subject}`
      return [key, before.get(key) ?? nowMs]
    }))
    const views = problems.map(({ code, subject, message }) => {
      return { code, message, since_ms: this.since.get(`${code} ${subject}`) }
    })
    const text = JSON.stringify(views)
    if (text !== this.current.text) this.current = { number: this.current.number + 1, text }
  }
}
