/** What the importers make of a file, whatever its format: streams of metrics, still in the words of the source. */
import type { Severity, SideLimits } from '../../../protocol/catalogue.js'
import type { ValidRange } from '../../../protocol/valid-range.js'
import type { MetricType } from '../../../protocol/value-types.js'

export interface ImportedState {
  readonly name: string
  /** Any number; whether it fits is decided later. */
  readonly value: number
  /** A value that is out of order. */
  readonly severity: Severity | null
}

export interface ImportedLimits {
  readonly low?: SideLimits
  readonly high?: SideLimits
}

export interface ImportedMetric {
  /** As the source has it. */
  readonly name: string
  /** The same for one parameter in several streams. */
  readonly origin: string
  /** Where the source defines it, from 1. */
  readonly line: number
  readonly type: MetricType
  /** Of a state. */
  readonly states: readonly ImportedState[]
  /** '': the name. */
  readonly title: string
  readonly unit: string
  readonly description: string
  readonly resolution: number | null
  readonly limits: ImportedLimits
  /** Values that are valid; null: not known. */
  readonly range: ValidRange | null
  /** Null: give it one. */
  readonly id: number | null
  readonly aliases: readonly string[]
  readonly retired: boolean
}

/** A metric of which the source has nothing but a name. */
export const PLAIN = {
  type: 'float',
  states: [],
  title: '',
  unit: '',
  description: '',
  resolution: null,
  limits: {},
  range: null,
  id: null,
  aliases: [],
  retired: false
} as const satisfies Omit<ImportedMetric, 'name' | 'origin' | 'line'>

/** The fields that a sender sends together: a packet, a container, the rows of a sheet with one name. */
export interface ImportedStream {
  readonly name: string
  /** Without any it is left out. */
  readonly metrics: readonly ImportedMetric[]
}

/** Why a file cannot be imported at all. Thrown by importers; importCatalogue() makes it a value. */
export class ImportError extends Error {
  /** @param line from 1; null: the whole file */
  constructor (readonly line: number | null, message: string) {
    super(message)
  }
}
