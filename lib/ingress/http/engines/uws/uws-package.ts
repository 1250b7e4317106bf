/**
 * Finds the package of uWebSockets.js to load: its project's own release if the user has installed one, otherwise the
 * bundled one, which is older. Both are installed under the same name, and a release installed next to OrbitStream is
 * further up the tree than the bundled one, so Node.js by itself would never find it.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type * as Uws from 'uWebSockets.js'

type UwsModule = typeof Uws

const NAME = 'uWebSockets.js'

export interface UwsPackage {
  /** The parent of the `node_modules` it is in. */
  readonly folder: URL
  readonly name: string
  readonly version: string
}

/** Null: not installed. @param from searched upwards from here, as Node.js does */
export function findUwsPackage (from: URL): UwsPackage | null {
  let found: UwsPackage | null = null
  for (let folder = new URL('.', from); ; folder = new URL('..', folder)) {
    const here = readPackage(folder)
    if (here?.name === NAME) return here
    found ??= here
    if (folder.pathname === '/') return found
  }
}

/** @throws whatever the import throws if no binary loads on this machine */
export async function importUws (): Promise<{ readonly uws: UwsModule, readonly release: string }> {
  const found = findUwsPackage(new URL(import.meta.url))
  const release = found === null ? NAME : `${found.name} ${found.version}`
  // The project's own package is CommonJS, the bundled one is not.
  const uws = found?.name === NAME ? requireFrom(found.folder) : await import('uWebSockets.js')
  return { uws, release }
}

function requireFrom (folder: URL): UwsModule {
  return createRequire(new URL('package.json', folder))(NAME) as UwsModule
}

function readPackage (folder: URL): UwsPackage | null {
  try {
    const text = readFileSync(new URL(`node_modules/${NAME}/package.json`, folder), 'utf8')
    const { name = '', version = '' } = JSON.parse(text) as Partial<UwsPackage>
    return { folder, name, version }
  } catch {
    // Not installed here, or not loadable by Node.js either.
    return null
  }
}
