/** What the files of tokens and of UDP keys have in common: fields of mappings, and all faults of a file at once. */

/** Tokens and keys of a kilobyte each; most are far smaller. */
export const ACCESS_FILE_BYTES_MAX = 1024 * 1024
/** Faults listed: a file of another kind has one on every line. */
const FAULTS_MAX = 100

export type Fields = Readonly<Record<string, unknown>>

export abstract class AccessFileReader {
  /** Sentences without a full stop. */
  readonly faults: string[] = []

  /** Reports a field that is not known; its name may be a secret. */
  protected abstract refuseField (key: string, path: string, known: readonly string[]): void

  /** Returns the object itself, or null after reporting a fault. */
  protected fields (value: unknown, path: string, known: readonly string[]): Fields | null {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return this.refuse(null, path, `must be a mapping with ${known.join(', ')}`)
    }
    for (const key of Object.keys(value)) if (!known.includes(key)) this.refuseField(key, path, known)
    return value as Fields
  }

  /** The entries of the only field of the file. */
  protected entries (value: unknown, name: string, max: number): readonly unknown[] {
    const fields = this.fields(value, '', [name])
    if (fields === null) return []
    const entries = fields[name]
    if (!Array.isArray(entries)) return this.refuse([], name, 'must be a list')
    if (entries.length <= max) return entries
    return this.refuse([], name, `has ${entries.length} entries; the maximum is ${max}`)
  }

  /** Reports a fault, and returns `instead` of the value. */
  protected refuse<T> (instead: T, path: string, message: string): T {
    this.fault(path, message)
    return instead
  }

  protected fault (path: string, message: string): void {
    if (this.faults.length < FAULTS_MAX) this.faults.push(path === '' ? message : `${path} ${message}`)
  }
}
