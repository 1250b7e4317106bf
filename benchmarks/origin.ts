/** The program and benchmark code behind the figures, so that they can be reproduced. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { version } from '../lib/support/version.js'
import { ROOT } from './server.js'

const run = promisify(execFile)
const ANSWER_DEADLINE_MS = 10_000

/** The commit of this checkout, and whether it has changes; null without git. */
export async function readCommit (): Promise<string | null> {
  const git = async (...args: string[]): Promise<string> =>
    (await run('git', ['-C', fileURLToPath(ROOT), ...args], { timeout: ANSWER_DEADLINE_MS })).stdout.trim()
  try {
    const commit = await git('rev-parse', '--short=10', 'HEAD')
    return await git('status', '--porcelain', '--untracked-files=no') === '' ? commit : `${commit} with changes`
  } catch {
    return null
  }
}

/** Null: unknown. @param program null: this checkout's */
export async function readVersion (program: string | null): Promise<string | null> {
  if (program === null) return version()
  try {
    const { stdout } = await run(process.execPath, [program, '--version'], { timeout: ANSWER_DEADLINE_MS })
    return /^(?:\S+ )?v?(\d+\.\d+\S*)\s*$/.exec(stdout)?.[1] ?? null
  } catch {
    return null
  }
}

/** The command that reproduces these figures. */
export function commandOf (argv: readonly string[]): string {
  const words = argv.map((word) => /^[\w./:=,@-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)
  return ['npm run bench', ...words.length === 0 ? [] : ['--', ...words]].join(' ')
}
