/** GET /catalogue: what the metrics are called. */
export interface MetricInfo {
  readonly name: string
  readonly title: string
  /** '' for a number without a unit. */
  readonly unit: string
  readonly description: string
  /** Smallest step of the sensor; null: not known. */
  readonly resolution: number | null
  readonly stream: string
}

export interface CatalogueAnswer {
  readonly streams: Readonly<Record<string, {
    readonly metrics: Readonly<Record<string, {
      readonly id: number
      readonly title?: string
      readonly unit?: string
      readonly description?: string
      readonly resolution?: number
      readonly retired?: boolean
    }>>
  }>>
}

/** Metrics that are shown, in the order of their ids. */
export function metricsOf ({ streams }: CatalogueAnswer): MetricInfo[] {
  return Object.entries(streams).flatMap(([stream, { metrics }]) => (
    Object.entries(metrics)
      .filter(([, { retired = false }]) => !retired)
      .sort(([, a], [, b]) => a.id - b.id)
      .map(([name, { title = name, unit = '', description = '', resolution = null }]) => (
        { name, title, unit, description, resolution, stream }
      ))
  ))
}

/** A metric that the catalogue no longer shows, in an old anomaly for instance. */
export function unknownMetric (name: string): MetricInfo {
  return { name, title: name, unit: '', description: '', resolution: null, stream: '' }
}
