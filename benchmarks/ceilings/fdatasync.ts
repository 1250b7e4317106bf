/** Ceiling for durability: how often per second the disk confirms a write of 4 KB. */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { RunRecord } from '../result.js'
import { latencyOf } from '../statistics.js'

const BLOCK_BYTES = 4096
/** After this many blocks the file is overwritten from the start, to bound its size. */
const BLOCKS = 16_384

/** @param directory on the file system to measure */
export function measureFdatasync (directory: string, seconds: number): RunRecord {
  const path = join(directory, 'fdatasync-bench')
  const file = openSync(path, 'w')
  try {
    const block = Buffer.alloc(BLOCK_BYTES, 'x')
    const times: number[] = []
    const startMs = performance.now()
    for (let nowMs = startMs; nowMs - startMs < seconds * 1000;) {
      writeSync(file, block, 0, BLOCK_BYTES, (times.length % BLOCKS) * BLOCK_BYTES)
      fdatasyncSync(file)
      const endMs = performance.now()
      times.push(endMs - nowMs)
      nowMs = endMs
    }
    const elapsed = (performance.now() - startMs) / 1000
    return {
      rate: times.length / elapsed,
      seconds: elapsed,
      sent: 0,
      acknowledged: 0,
      stored: 0,
      latency: latencyOf(times),
      problems: []
    }
  } finally {
    closeSync(file)
    rmSync(path)
  }
}
