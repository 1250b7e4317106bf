/**
 * Which package of uWebSockets.js is loaded: the project's own release where the user has installed one, else the one
 * that came along, which is older. Both go by the same name, and a release that is installed beside OrbitStream lies
 * further up than what came along: Node.js alone would never look at it.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type * as Uws from 'uWebSockets.js'

type UwsModule = typeof Uws

const NAME = 'uWebSockets.js'

export interface UwsPackage {
  /** Where `node_modules` lies that has it. */
  readonly folder: URL
  readonly name: string
  readonly version: string
}

/** Null: there is none. @param from where to look first; then in all folders above it, as Node.js does */
export function findUwsPackage (from: URL): UwsPackage | null {
  let found: UwsPackage | null = null
  for (let folder = new URL('.', from); ; folder = new URL('..', folder)) {
    const here = readPackage(folder)
    if (here?.name === NAME) return here
    found ??= here
    if (folder.pathname === '/') return found
  }
}

/** @throws what the import throws when no binary loads on this machine */
export async function importUws (): Promise<{ readonly uws: UwsModule, readonly release: string }> {
  const found = findUwsPackage(new URL(import.meta.url))
  const release = found === null ? NAME : `${found.name} ${found.version}`
  // The project's own package is CommonJS, the one that came along is not.
  const uws = found?.name === NAME ? createRequire(new URL('package.json', found.folder))(NAME) as UwsModule : await import('uWebSockets.js')
  return { uws, release }
}

function readPackage (folder: URL): UwsPackage | null {
  try {
    const text = readFileSync(new URL(`node_modules/${NAME}/package.json`, folder), 'utf8')
    const { name = '', version = '' } = JSON.parse(text) as Partial<UwsPackage>
    return { folder, name, version }
  } catch {
    // Not here, or nothing that Node.js could load either.
    return null
  }
}
