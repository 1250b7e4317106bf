/** The version of the package, as in package.json. */
import { readFileSync } from 'node:fs'

let known: string | null = null

/** Read once: reporting it later must not need to open a file. */
export function version (): string {
  known ??= readVersion()
  return known
}

function readVersion (): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
