/** The frames of a run by stream, and the rows of each stream as one COPY. */
import type { Catalogue, Stream } from '../../protocol/catalogue.js'
import type { FrameRun } from '../journal/journal.js'
import { streamIdOf, telemetryOf } from '../pipeline/rows/payload.js'
import { rowColumns, rowEnd, viewOf } from '../pipeline/rows/rows.js'
import type { StreamRows } from './commit.js'
import { CopySorter } from './copy-rows.js'

/** Payloads of one stream, in order. */
export interface StreamPayloads {
  /** Null: the catalogue does not have it. */
  readonly stream: Stream | null
  readonly streamId: number
  readonly payloads: Buffer[]
}

/** Frames whose stream the catalogue does not have: they were written under a later catalogue. */
export class UnknownStream extends Error {
  constructor (id: number) {
    super(`the catalogue in force has no stream with the id ${id}: the row was written under a later catalogue; ` +
      'apply that one ("orbitstream-ingest catalogue apply"), restart, then run "orbitstream-ingest quarantine retry"')
  }
}

/** Streams by id. Ids are few: an array is the fastest table. */
export class StreamTable {
  private readonly byId: Array<Stream | undefined> = []

  constructor ({ streams }: Catalogue) {
    for (const stream of streams) this.byId[stream.id] = stream
  }

  /** In the order in which the streams first appear. */
  group (payloads: readonly Buffer[]): StreamPayloads[] {
    const groups: StreamPayloads[] = []
    for (const payload of payloads) {
      const streamId = streamIdOf(payload)
      let group = groups.find((each) => each.streamId === streamId)
      if (group === undefined) {
        group = { streamId, stream: this.byId[streamId] ?? null, payloads: [] }
        groups.push(group)
      }
      group.payloads.push(payload)
    }
    return groups
  }
}

/** Sorts the rows of each stream, in memory that is kept from run to run. */
export class StreamSorters {
  private readonly sorters = new Map<Stream, CopySorter>()

  /**
   * The rows of a run; each stream's are valid until it is sorted again.
   * Throws SurplusFields or UnknownStream if rows are of a later catalogue.
   */
  sortRun (groups: readonly StreamPayloads[], { rows }: FrameRun): StreamRows[] {
    const sorted = groups.map(({ stream, streamId, payloads }): StreamRows => {
      if (stream === null) throw new UnknownStream(streamId)
      const points = payloads.map(telemetryOf)
      return this.sort(stream, points, groups.length === 1 ? rows : countRows(points))
    })
    const found = sorted.reduce((sum, { copyRows }) => sum + copyRows, 0)
    if (found !== rows) throw new RangeError(`frames declare ${rows} rows, their payloads contain ${found}`)
    return sorted
  }

  /** @param points batches of rows of the stream */
  sort (stream: Stream, points: readonly Buffer[], rows: number): StreamRows {
    let sorter = this.sorters.get(stream)
    if (sorter === undefined) {
      sorter = new CopySorter(rowEnd, rowColumns(stream.schema).length)
      this.sorters.set(stream, sorter)
    }
    return { stream, copy: sorter.sort(points, rows), copyRows: rows, times: sorter.times(points, rows) }
  }
}

/** Rows in batches of them. */
export function countRows (batches: readonly Buffer[]): number {
  let rows = 0
  for (const batch of batches) {
    const view = viewOf(batch)
    for (let at = 0; at < batch.length; rows++) at = rowEnd(view, at)
  }
  return rows
}
