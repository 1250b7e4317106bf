/**
 * The most memory that any process of a server has while something runs, by kind: of the program's processes their peak
 * as the system keeps it; of the database's what is resident without shared memory, looked at again and again, because
 * most of what they have resident are buffers that all of them share.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { held } from '../held.js'
import { largest, ownBytes, peakBytes, resetPeaks } from '../processes.js'
import type { ByProcess } from '../result.js'
import { rolesOf, type Session } from '../session.js'
import { watched } from './asking.js'

const LOOK_MS = 500
const DATABASE = 'database'

/** Rejects if the work does. */
export async function watchMemory (session: Session, work: () => Promise<void>): Promise<ByProcess> {
  resetPeaks((await rolesOf(session)).keys())
  let most: ByProcess = {}
  const working = held(work())
  const state = watched(working)
  const look = async (): Promise<void> => {
    const roles = [...await rolesOf(session)]
    const isDatabase = (role: string): boolean => role.startsWith(DATABASE)
    most = [
      peakBytes(new Map(roles.filter(([, role]) => !isDatabase(role)))),
      ownBytes(new Map(roles.filter(([, role]) => isDatabase(role))))
    ].reduce(largest, most)
  }
  while (!state.isOver) {
    await look()
    await wait(LOOK_MS)
  }
  await working
  await look()
  return most
}
