/** An interrupted benchmark leaves no server behind; one with invalid arguments starts none. */
import t, { type Test } from 'tap'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../benchmarks/main.js', import.meta.url))

async function begin (t: Test, ...args: string[]): Promise<{ bench: ChildProcess, directory: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'orbitstream-test-'))
  await chmod(directory, 0o755)
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const options = ['--runs', '1', '--seconds', '1', '--data-dir', directory, ...args]
  const bench = spawn(process.execPath, [MAIN, ...options], { stdio: ['ignore', 'ignore', 'pipe'] })
  t.teardown(() => bench.kill('SIGKILL'))
  return { bench, directory }
}

/** Resolves once standard error contains the text, or ends. */
async function until (bench: ChildProcess, text: string): Promise<void> {
  let said = ''
  for await (const chunk of bench.stderr!) {
    said += String(chunk)
    if (said.includes(text)) return
  }
}

/** Processes whose command line names the directory. */
function processesOf (directory: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return pid !== String(process.pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(directory)
    } catch {
      return false
    }
  })
}

t.test('an interrupted benchmark leaves no process and no file', {
  skip: process.platform !== 'linux'
}, async t => {
  const { bench, directory } = await begin(t, '--only', 'udp')
  const exit = once(bench, 'exit')
  await until(bench, 'round 1 of 1: udp')
  bench.kill('SIGTERM')
  t.same(await exit, [143, null])
  t.same(processesOf(directory), [])
  t.same(readdirSync(directory), [])
})

t.test('invalid arguments and updates that would be refused end before anything starts', async t => {
  const { bench, directory } = await begin(t, '--only', 'udp', '--update-docs')
  t.same(await once(bench, 'exit'), [2, null])
  t.same(readdirSync(directory), [])
  const wrong = await begin(t, '--fast')
  t.same(await once(wrong.bench, 'exit'), [2, null])
})
