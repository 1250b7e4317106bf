/** A server of a measurement's own, with settings and files that the shared one does not have. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addServer, refuseWhenEnding, removeServer } from '../servers.js'
import { closeSession, openSession, type Session } from '../session.js'

interface Own {
  readonly env?: Readonly<Record<string, string>>
  /** Contents of files, by the variable that names the file. */
  readonly files?: Readonly<Record<string, string>>
}

/** Starts it, measures, and stops it. */
export async function withServer (
  { plan, options }: Session, { env = {}, files = {} }: Own, measure: (own: Session) => Promise<void>
): Promise<void> {
  refuseWhenEnding()
  const directory = await mkdtemp(join(options.dataRoot ?? tmpdir(), 'orbitstream-bench-files-'))
  const removal = { stop: () => rm(directory, { recursive: true, force: true }) }
  addServer(removal)
  try {
    const paths: Record<string, string> = {}
    for (const [name, content] of Object.entries(files)) {
      const path = join(directory, name.toLowerCase())
      await writeFile(path, content, { mode: 0o600 })
      paths[name] = path
    }
    const own = await openSession(plan, { ...options, env: { ...options.env, ...env, ...paths } })
    try {
      await measure(own)
    } finally {
      await closeSession(own)
    }
  } finally {
    await removal.stop()
    removeServer(removal)
  }
}
