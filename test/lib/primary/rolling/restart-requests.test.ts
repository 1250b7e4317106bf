/** How the command `restart` and the server talk to each other: a signal, and a status in DATA_DIR. */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Primary } from '../../../../lib/primary/primary.js'
import { RestartRequests } from '../../../../lib/primary/rolling/restart-requests.js'
import { readRestartStatus, RESTART_SIGNAL } from '../../../../lib/primary/rolling/restart-status.js'
import type { RestartOutcome } from '../../../../lib/primary/rolling/rolling-restart.js'
import { createLogger } from '../../../../lib/support/log.js'
import { eventually } from '../../../support/eventually.js'

async function until (what: string, isSo: () => boolean): Promise<void> {
  await eventually(what, 10_000, async () => await Promise.resolve(isSo() || undefined), 5)
}

t.test('a status that is missing or damaged is none', async (t) => {
  const dataDir = t.testdir()
  t.equal(readRestartStatus(dataDir), null)
  for (const text of ['', '{', 'null', '5', '{"state":"unheard of"}']) {
    await writeFile(join(dataDir, 'rolling-restart.json'), text)
    t.equal(readRestartStatus(dataDir), null, text)
  }
})

t.test('one restart at a time, and none while the server starts', async (t) => {
  const dataDir = t.testdir()
  const lines: string[] = []
  const destination = { write: (line: string) => { lines.push(line) } }
  const requests = new RestartRequests(dataDir, createLogger({ level: 'info', name: 'test', destination }))
  t.teardown(() => requests.release())
  const ask = (): boolean => process.emit(RESTART_SIGNAL, RESTART_SIGNAL)
  const reaches = async (state: string): Promise<void> => {
    await until(`the status ${state}`, () => readRestartStatus(dataDir)?.state === state)
  }
  ask()
  t.match(lines, [/a rolling restart was refused: the server is starting/])
  t.equal(readRestartStatus(dataDir), null)
  const restarts: Array<(outcome: RestartOutcome) => void> = []
  await requests.begin({
    restartWorkers: async () => await new Promise<RestartOutcome>((resolve) => { restarts.push(resolve) })
  } as unknown as Primary)
  t.match(readRestartStatus(dataDir), { pid: process.pid, count: 0, state: 'idle', message: '' })
  ask()
  await reaches('running')
  await until('a restart', () => restarts.length === 1)
  ask()
  t.match(lines[1], /a rolling restart was refused: one is running/)
  restarts[0]?.({ ok: false, message: 'No.' })
  await reaches('failed')
  t.match(readRestartStatus(dataDir), { count: 1, message: 'No.' })
  ask()
  await until('another restart', () => restarts.length === 2)
  restarts[1]?.({ ok: true, message: 'Yes.' })
  await reaches('done')
  t.match(readRestartStatus(dataDir), { count: 2, message: 'Yes.' })
  t.equal(lines.length, 2, 'nothing else was refused')
  await rm(dataDir, { recursive: true })
  ask()
  await until('a warning', () => lines.some((line) => line.includes('cannot be written to DATA_DIR')))
})
