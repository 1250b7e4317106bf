/**
 * What the command `restart` and the server tell each other: the command sends RESTART_SIGNAL, and the server keeps its
 * status in a file in DATA_DIR. Without that file, the signal would end a server that does not know it.
 *
 *   rolling-restart.json   {"pid":4711,"version":"0.1.0","count":2,"state":"done","message":"…"}
 */
import { join } from 'node:path'
import { readSmall, writeSmall } from '../../host/plain-file.js'

export const RESTART_SIGNAL = 'SIGUSR2'

const FILE = 'rolling-restart.json'
const STATES = ['idle', 'running', 'done', 'failed'] as const

export interface RestartStatus {
  /** Of the primary process. */
  readonly pid: number
  readonly version: string
  /** Restarts begun. */
  readonly count: number
  readonly state: typeof STATES[number]
  /** How the last one ended: a sentence; empty: not yet. */
  readonly message: string
}

/** Null: none, or not one of ours. */
export function readRestartStatus (dataDir: string): RestartStatus | null {
  try {
    const status = JSON.parse(readSmall(join(dataDir, FILE)) ?? 'null') as RestartStatus | null
    return status !== null && STATES.includes(status.state) ? status : null
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

/** One writer at a time. */
export async function writeRestartStatus (dataDir: string, status: RestartStatus): Promise<void> {
  await writeSmall(join(dataDir, FILE), JSON.stringify(status))
}
