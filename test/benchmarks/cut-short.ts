/** Benchmarks that are cut short. */
import { type Test } from 'tap'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, chmod, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const ROOT = new URL('../../../', import.meta.url)
const POLL_MS = 10

/** A benchmark whose servers have their data below a directory of the test. */
export async function begin (t: Pick<Test, 'teardown'>, ...args: string[]): Promise<{ bench: ChildProcess, directory: string, said: () => string }> {
  const directory = await mkdtemp(join(tmpdir(), 'orbitstream-test-'))
  await chmod(directory, 0o755)
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const bench = spawn(process.execPath, [fileURLToPath(new URL('dist/benchmarks/main.js', ROOT)), '--runs', '1', '--seconds', '1', '--data-dir', directory, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  t.teardown(() => bench.kill('SIGKILL'))
  let text = ''
  bench.stderr.on('data', (chunk: Buffer) => { text += chunk.toString() })
  return { bench, directory, said: () => text }
}

/** Processes whose command line names the directory. */
function processesOf (directory: string): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((pid) => {
    try {
      return Number(pid) !== process.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(directory)
    } catch {
      return false
    }
  })
}

async function until (holds: () => boolean, bench: ChildProcess): Promise<void> {
  while (!holds()) {
    if (bench.exitCode !== null) throw new Error(`it ended with ${bench.exitCode}`)
    await wait(POLL_MS)
  }
}

export function entriesOf (directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

/** Interrupts a benchmark at a moment, and looks that no process and no file is left. */
export async function interrupt (t: Test, reached: (directory: string, said: string) => boolean, ...args: string[]): Promise<void> {
  const { bench, directory, said } = await begin(t, ...args)
  const exit = once(bench, 'exit')
  await until(() => reached(directory, said()), bench)
  bench.kill('SIGTERM')
  t.same(await exit, [143, null], said())
  t.same(processesOf(directory), [])
  t.same(entriesOf(directory), [])
}
