/**
 * What an import could not take over as it was, and why: one remark per reason, with the names and lines that it
 * concerns. A file may give a reason a million times, so only the first names of each are kept, and counted beyond.
 */

/** Names listed with one reason. */
const NAMES_MAX = 100
/** Reasons have no text of the file in them, so there are far fewer. */
const REASONS_MAX = 1_000
/** Longest name repeated. */
const NAME_MAX = 64

type Kind = 'left out' | 'changed'

interface Remark {
  readonly kind: Kind
  readonly reason: string
  readonly named: Array<{ readonly line: number, readonly name: string }>
  count: number
}

export class Remarks {
  private readonly byReason = new Map<string, Remark>()

  /** @param what its name in the file @param reason without text of the file */
  leftOut (line: number, what: string, reason: string): void {
    this.add('left out', line, what, reason)
  }

  changed (line: number, what: string, reason: string): void {
    this.add('changed', line, what, reason)
  }

  /** How many things were left out, or changed. */
  count (kind: Kind): number {
    return [...this.byReason.values()].reduce((sum, each) => sum + (each.kind === kind ? each.count : 0), 0)
  }

  /** A line per reason, by line of the file: `hk.txt:12: left out: NAME, RAW (line 13): a catalogue has no text`. */
  describe (file: string): string[] {
    return [...this.byReason.values()]
      .map((remark) => ({ ...remark, named: remark.named.toSorted((a, b) => a.line - b.line) }))
      .sort((a, b) => (a.named[0]?.line ?? 0) - (b.named[0]?.line ?? 0))
      .map(({ kind, reason, named, count }) => {
        const first = named[0]?.line ?? 1
        const names = named.map(({ line, name }) => line === first ? name : `${name} (line ${line})`)
        const rest = count > named.length ? ` and ${count - named.length} more` : ''
        return `${file}:${first}: ${kind}: ${names.join(', ')}${rest}: ${reason}`
      })
  }

  private add (kind: Kind, line: number, what: string, reason: string): void {
    const key = `${kind} ${reason}`
    const remark = this.byReason.get(key) ?? { kind, reason, named: [], count: 0 }
    if (remark.count === 0) {
      if (this.byReason.size === REASONS_MAX) throw new RangeError('too many reasons: one has text of a file')
      this.byReason.set(key, remark)
    }
    remark.count++
    if (remark.named.length === NAMES_MAX) return
    remark.named.push({ line, name: what.length > NAME_MAX ? `${what.slice(0, NAME_MAX)}…` : what })
  }
}
