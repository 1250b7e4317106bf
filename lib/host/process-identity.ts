/**
 * The identity of a process: ids are reused, so a lock also records the start time.
 */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Field 22 of /proc/<pid>/stat, counted after the command name, which may contain spaces and parentheses (proc(5)). */
const START_TIME_FIELD = 22 - 3

/**
 * Boot id and start time, which no other process with this id on this machine has had. Null if there is no such
 * process.
 */
export async function processStart (pid: number): Promise<string | null> {
  if (process.platform !== 'linux') return lstart(pid)
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A zombie no longer holds locks.
    if (fields[0] === 'Z' || fields[0] === 'X') return null
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8')
    return `${boot.trim()} ${fields[START_TIME_FIELD] ?? ''}`
  } catch {
    return null
  }
}

async function lstart (pid: number): Promise<string | null> {
  try {
    const { stdout } = await run('ps', ['-o', 'lstart=', '-p', String(pid)], { env: { ...process.env, LC_ALL: 'C' } })
    return stdout.trim() === '' ? null : stdout.trim()
  } catch {
    return null
  }
}
