/** System call faults in a running process, injected by strace. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { within } from '../eventually.js'
import type { Owner } from '../owner.js'
import { onProcessEnd } from '../programs/process-end.js'

const ATTACH_DEADLINE_MS = 20_000

export interface Injection {
  /** Number of calls that have failed so far. */
  injected (): number
  /** Detaches strace. */
  end (): Promise<void>
}

/**
 * Attaches to all threads of a process; returns the reason if strace is missing or not allowed to.
 * @param when in strace's notation, counted per thread: '3', '3+'
 */
export async function injectError (
  owner: Owner, pid: number, call: string, error: string, when: string
): Promise<Injection | string> {
  const expressions = ['-e', `trace=${call}`, '-e', `inject=${call}:error=${error}:when=${when}`]
  const child = spawn('strace', ['-f', '-p', String(pid), ...expressions], { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  const end = async (): Promise<void> => {
    child.kill('SIGTERM')
    await ended
  }
  owner.teardown(end)
  child.once('exit', onProcessEnd(() => { child.kill('SIGTERM') }))
  const attached = await attach(child)
  if (typeof attached === 'string') return attached
  return { injected: attached.injected, end }
}

async function attach (child: ChildProcess): Promise<{ injected: () => number } | string> {
  if (child.stderr === null) throw new Error('strace writes to a pipe')
  let injected = 0
  const lines = createInterface({ input: child.stderr })
  const first = once(lines, 'line') as Promise<[string]>
  lines.on('line', (line) => { if (line.includes('(INJECTED)')) injected++ })
  const failed = once(child, 'exit').then(
    () => ['strace exited'] as [string],
    (error: unknown) => [String(error)] as [string])
  const [said] = await within('strace attaches', ATTACH_DEADLINE_MS, Promise.race([first, failed]))
  return said.includes('attached') ? { injected: () => injected } : `strace cannot attach: ${said}`
}
