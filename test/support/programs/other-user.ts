/** Support for tests with root and another user. */
import { lstat, readFile, symlink, writeFile } from 'node:fs/promises'
import { statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { temporaryDirectory } from '../database/postgres.js'

export const NOBODY = 65_534
const isRoot = process.getuid?.() === 0
export const needsRoot = isRoot ? {} : { skip: 'needs root' }

/** Whether every user can reach this clone: a process of another user has to load the program from it. */
function othersReachUs (): boolean {
  for (let path = fileURLToPath(import.meta.url); path !== dirname(path); path = dirname(path)) {
    if ((statSync(path).mode & 0o005) === 0) return false
  }
  return true
}

export const needsAnotherUser = isRoot && !othersReachUs() ? { skip: 'other users cannot reach this clone' } : needsRoot

export interface Treasure {
  /** Links `path` to a file that only root can write. */
  linkFrom (path: string): Promise<void>
  /** Fails the test if any of these files has changed. */
  check (): Promise<void>
}

/** Files owned by root, as link targets for other users. */
export async function hideTreasure (t: Test): Promise<Treasure> {
  const directory = await temporaryDirectory(t)
  const files: string[] = []
  return {
    async linkFrom (path) {
      const file = join(directory, String(files.length))
      await writeFile(file, 'of root alone', { mode: 0o600 })
      await symlink(file, path)
      files.push(file)
    },
    async check () {
      const states = await Promise.all(files.map(async (file) => {
        const { uid, gid, mode } = await lstat(file)
        return { text: await readFile(file, 'utf8'), uid, gid, mode: mode & 0o7777 }
      }))
      const expected = files.map(() => ({ text: 'of root alone', uid: 0, gid: 0, mode: 0o600 }))
      t.same(states, expected, 'the link targets are unchanged')
    }
  }
}
