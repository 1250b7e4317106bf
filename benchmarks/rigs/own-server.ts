/** A server of a measurement's own, with settings and files that the shared one does not have. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addServer, refuseWhenEnding, removeServer } from '../servers.js'
import { closeSession, openSession, type Session } from '../session.js'

interface Own {
  readonly env?: Readonly<Record<string, string>>
  /** After those of the shared server. */
  readonly args?: readonly string[]
  /** Contents of files, by the variable that names the file. */
  readonly files?: Readonly<Record<string, string>>
}

/** Starts it, measures, and stops it. */
export async function withServer (
  { plan, options }: Session, { env = {}, args = [], files = {} }: Own, measure: (own: Session) => Promise<void>
): Promise<void> {
  await withDirectory(options.dataRoot, async (directory) => {
    const paths: Record<string, string> = {}
    for (const [name, content] of Object.entries(files)) {
      const path = join(directory, name.toLowerCase())
      await writeFile(path, content, { mode: 0o600 })
      paths[name] = path
    }
    const own = await openSession(plan, {
      ...options, args: [...options.args, ...args], env: { ...options.env, ...env, ...paths }
    })
    try {
      await measure(own)
    } finally {
      await closeSession(own)
    }
  })
}

/** Works with a directory that is removed however the benchmark ends. @param root default: that of the system */
export async function withDirectory<T> (
  root: string | null | undefined, work: (directory: string) => Promise<T>
): Promise<T> {
  refuseWhenEnding()
  const directory = await mkdtemp(join(root ?? tmpdir(), 'orbitstream-bench-files-'))
  const removal = { stop: () => rm(directory, { recursive: true, force: true, maxRetries: 5 }) }
  addServer(removal)
  try {
    return await work(directory)
  } finally {
    await removal.stop()
    removeServer(removal)
  }
}
