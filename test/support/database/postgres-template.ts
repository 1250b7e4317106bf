/**
 * A database directory fresh from initdb, kept under node_modules/.cache, from which test servers start: a copy takes a
 * fraction of the time of initdb.
 */
import { execFile } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { defaultPlaces } from '../../../lib/embedded/embedded-files.js'
import { INITDB_ARGUMENTS } from '../../../lib/embedded/embedded-settings.js'
import { startEmbedded } from '../../../lib/embedded/embedded.js'
import { systemCode } from '../../../lib/support/errors.js'
import type { StoreLog } from '../../../lib/support/store-log.js'

const CACHE = fileURLToPath(new URL('../../../../node_modules/.cache/orbitstream', import.meta.url))
/** Not the port, which differs from server to server. */
const FILES = ['postgres', 'postgres-password']

/** Fills an empty data directory. */
export async function copyTemplate (dataDir: string, log: StoreLog): Promise<void> {
  const template = join(CACHE, `postgres-${await templateKey()}`)
  if (!existsSync(template)) await makeTemplate(template, log)
  await copyFiles(template, dataDir)
}

/** Covers everything that the result of initdb depends on, including the account that will own it. */
async function templateKey (): Promise<string> {
  const description = await readFile(join(defaultPlaces().packageDir, 'package.json'), 'utf8')
  const { version } = JSON.parse(description) as { version: string }
  const inputs = JSON.stringify([version, INITDB_ARGUMENTS, process.getuid?.()])
  return createHash('sha256').update(inputs).digest('hex').slice(0, 12)
}

async function makeTemplate (template: string, log: StoreLog): Promise<void> {
  const unfinished = `${template}.${randomUUID()}`
  const dataDir = await mkdtemp(join(tmpdir(), 'orbitstream-template-'))
  try {
    await chmod(dataDir, 0o755)
    const server = await startEmbedded({ dataDir, log })
    await server.stop('fast')
    await mkdir(unfinished, { recursive: true })
    await copyFiles(dataDir, unfinished)
    await rename(unfinished, template)
  } catch (error) {
    // Another test file made it first.
    if (!['EEXIST', 'ENOTEMPTY'].includes(systemCode(error))) throw error
  } finally {
    await rm(unfinished, { recursive: true, force: true })
    await rm(dataDir, { recursive: true, force: true })
  }
}

/** cp(1) keeps owners, fs.cp does not. */
async function copyFiles (from: string, to: string): Promise<void> {
  await promisify(execFile)('cp', ['-a', ...FILES.map((name) => join(from, name)), to])
}
