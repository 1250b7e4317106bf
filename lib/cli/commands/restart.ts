/**
 * `restart --rolling`: has the server that runs on DATA_DIR replace its workers, and waits until that is done.
 *
 * Exit codes: 0 all workers were replaced; 1 not all, or it was refused; 2 invalid usage.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { findServer } from '../../host/data-directory.js'
import { RESTART_SIGNAL, readRestartStatus, type RestartStatus } from '../../primary/rolling/restart-status.js'
import { versionHindrance } from '../../primary/rolling/rolling-restart.js'
import { version } from '../../support/version.js'
import { defineCommand } from '../command.js'

const POLL_MS = 100
/** A server that has not begun by then does not obey. */
const BEGIN_MS_MAX = 10_000

export const restart = defineCommand({
  name: 'restart',
  summary: 'Replace the workers of the running server one by one, without refusing a request (--rolling).',
  options: [{
    name: 'rolling',
    type: 'boolean',
    help: 'Required: the only way to restart. To restart everything, stop the server and start it again.'
  }],
  settings: ['dataDir'],
  async run ({ values, config: { dataDir }, print, complain }) {
    if (!values.rolling) {
      complain('error: restart needs --rolling')
      return 2
    }
    const pid = await findServer(dataDir, 'DATA_DIR')
    const status = readRestartStatus(dataDir)
    const refusal = refusalOf(status, pid)
    if (refusal !== null) {
      complain(`error: ${refusal}`)
      return 1
    }
    try {
      process.kill(pid, RESTART_SIGNAL)
    } catch (error) {
      complain(`error: process ${pid} cannot be sent ${RESTART_SIGNAL}: ${(error as Error).message}`)
      return 1
    }
    print(`Process ${pid} is replacing its workers one by one; its log has each step.`)
    const { ok, message } = await outcomeOf(dataDir, pid, status?.count ?? 0)
    if (ok) print(message)
    else complain(`error: ${message}`)
    return ok ? 0 : 1
  }
})

/** @param pid of the process that has locked DATA_DIR */
function refusalOf (status: RestartStatus | null, pid: number): string | null {
  if (status === null || status.pid !== pid) {
    return `Process ${pid} accepts no rolling restarts: it is not \`start\`, is still starting, or is an older version.`
  }
  if (status.state === 'running') return 'A rolling restart is already running; its outcome will be in the log.'
  return versionHindrance(status.version, version())
}

/** Waits for the end of the restart after the first `before`. */
async function outcomeOf (
  dataDir: string, pid: number, before: number
): Promise<{ readonly ok: boolean, readonly message: string }> {
  const sentMs = performance.now()
  for (;;) {
    await wait(POLL_MS)
    const status = readRestartStatus(dataDir)
    const hasBegun = status !== null && status.pid === pid && status.count > before
    if (hasBegun && status.state !== 'running') return { ok: status.state === 'done', message: status.message }
    if (!isAlive(pid)) return { ok: false, message: `Process ${pid} ended before it was done.` }
    if (!hasBegun && performance.now() - sentMs > BEGIN_MS_MAX) {
      return { ok: false, message: `Process ${pid} has not begun the restart; its log says why.` }
    }
  }
}

function isAlive (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
