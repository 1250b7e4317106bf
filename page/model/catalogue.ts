/** GET /catalogue: what the metrics are called, and how their values are shown. */
import { reading } from './format.js'

/** A number, a bool, or a state by its name; null: none. */
export type Value = number | boolean | string | null

export interface NamedState {
  readonly name: string
  readonly value: number
}

export interface MetricInfo {
  /** With the stream, unless that is `telemetry`: as limits and anomalies have it. */
  readonly name: string
  /** Within its stream. */
  readonly ownName: string
  readonly title: string
  /** '' for a number without a unit. */
  readonly unit: string
  readonly description: string
  /** Smallest step of the sensor; null: not known. */
  readonly resolution: number | null
  /** By number; those of a bool are false and true. Empty for numbers. */
  readonly states: readonly NamedState[]
  readonly isBool: boolean
  readonly stream: string
}

const BOOL_STATES: readonly NamedState[] = [{ name: 'false', value: 0 }, { name: 'true', value: 1 }]

export interface CatalogueAnswer {
  readonly streams: Readonly<Record<string, {
    readonly retired?: boolean
    readonly metrics: Readonly<Record<string, {
      readonly id: number
      readonly type?: string
      /** Numbers by name. */
      readonly states?: Readonly<Record<string, number>>
      readonly title?: string
      readonly unit?: string
      readonly description?: string
      readonly resolution?: number
      readonly retired?: boolean
    }>>
  }>>
}

/** The name of a metric wherever those of several streams stand together. */
export function qualified (stream: string, metric: string): string {
  return stream === 'telemetry' ? metric : `${stream}.${metric}`
}

/** Metrics that are shown, in the order of their ids. */
export function metricsOf ({ streams }: CatalogueAnswer): MetricInfo[] {
  return Object.entries(streams).filter(([, { retired = false }]) => !retired).flatMap(([stream, { metrics }]) => (
    Object.entries(metrics)
      .filter(([, { retired = false }]) => !retired)
      .sort(([, a], [, b]) => a.id - b.id)
      .map(([name, { title = name, unit = '', description = '', resolution = null, type = 'float', states = {} }]) => ({
        name: qualified(stream, name),
        ownName: name,
        title,
        unit,
        description,
        resolution,
        states: type === 'bool' ? BOOL_STATES : statesOf(states),
        isBool: type === 'bool',
        stream
      }))
  ))
}

function statesOf (states: Readonly<Record<string, number>>): NamedState[] {
  return Object.entries(states).map(([name, value]) => ({ name, value })).sort((a, b) => a.value - b.value)
}

/** For people. @param value of a state or bool also as a number, as anomalies have it */
export function valueText (value: Value, { resolution, states }: MetricInfo): string {
  if (typeof value !== 'number') return value === null ? reading(null, null) : String(value)
  return states.find((state) => state.value === value)?.name ?? reading(value, resolution)
}

/** Where a chart draws a value: a state at its index among the states. Null: nowhere. */
export function positionOf (value: Value, { states }: MetricInfo): number | null {
  if (states.length === 0) return typeof value === 'number' ? value : null
  const index = states.findIndex((state) => state.value === value || state.name === String(value))
  return index === -1 ? null : index
}

/** A metric that the catalogue no longer shows, in an old anomaly for instance. */
export function unknownMetric (name: string): MetricInfo {
  return {
    name, ownName: name, title: name, unit: '', description: '', resolution: null, states: [], isBool: false, stream: ''
  }
}
