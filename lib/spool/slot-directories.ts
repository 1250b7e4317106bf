/** Slots: the numbered directories of a spool directory, one spool in each, whether or not a worker owns it. */
import { join } from 'node:path'
import type { Files } from './file-system.js'

const SLOT = /^slot-(0|[1-9]\d{0,8})$/

/** The directory of one slot's spool. */
export function slotDirectory (spoolDirectory: string, slot: number): string {
  return join(spoolDirectory, `slot-${slot}`)
}

/** Numbers of the existing slots, in order. */
export async function listSlots (files: Files, spoolDirectory: string): Promise<number[]> {
  const slots: number[] = []
  for (const name of await files.list(spoolDirectory)) {
    const match = SLOT.exec(name)
    if (match !== null) slots.push(Number(match[1]))
  }
  return slots.sort((left, right) => left - right)
}
