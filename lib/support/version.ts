/** The version of the package, as in package.json. */
import { readFileSync } from 'node:fs'

let known: string | null = null

/** Of this process. Read once: reporting it later must not need to open a file. */
export function version (): string {
  known ??= versionOnDisk()
  return known
}

/** Of the program on disk now, which may have been replaced since this process started. */
export function versionOnDisk (): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
