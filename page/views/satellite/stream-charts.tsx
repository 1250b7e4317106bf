/** A chart for each chosen metric of one stream, going on live. */
import type { JSX } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import type { Anomaly } from '../../model/anomalies.js'
import { positionOf, valueText, type MetricInfo } from '../../model/catalogue.js'
import { dateTime } from '../../model/format.js'
import { describeLimits, linesOf, SEVERITIES, type MetricLimits } from '../../model/limits.js'
import type { Readings } from '../../model/readings.js'
import { RANGE_MS, type Range } from '../../model/route.js'
import type { SatelliteSeries } from '../../model/series.js'
import { Chart, type ChartSeries } from '../../parts/chart.js'
import { usePage } from '../../parts/use-page.js'
import { useSeries } from './use-satellite.js'

/** Charts move on in steps of this part of their range, of a second at least. */
const STEPS = 1_000
const SERIES: readonly ChartSeries[] = [
  { label: 'maximum', color: '--series-1', role: 'band' },
  { label: 'minimum', color: '--series-1', role: 'band' },
  { label: 'mean', color: '--series-1' }
]
const STATE_SERIES: readonly ChartSeries[] = [
  ...SERIES.slice(0, 2), { label: 'state', color: '--series-1', role: 'step' }
]

interface Props {
  readonly id: string
  readonly stream: string
  readonly metrics: readonly MetricInfo[]
  readonly range: Range
  readonly readings: Readings
  readonly anomalies: readonly Anomaly[]
}

export function StreamCharts ({ id, stream, metrics, range, readings, anomalies }: Props): JSX.Element {
  const { nowMs } = usePage()
  const { value: series, loading, failure } = useSeries(id, stream, metrics, range)
  const stepMs = Math.max(1_000, RANGE_MS[range] / STEPS)
  const toMs = Math.ceil(nowMs() / stepMs) * stepMs
  return (
    <>
      {failure !== null && <p class='problem small'>{failure}</p>}
      {metrics.map((metric) => (
        <MetricChart
          key={metric.name} metric={metric} series={series} loading={loading} toMs={toMs} range={range}
          readings={readings} anomalies={anomalies}
        />
      ))}
    </>
  )
}

interface ChartProps {
  readonly metric: MetricInfo
  readonly series: SatelliteSeries
  readonly loading: boolean
  readonly toMs: number
  readonly range: Range
  readonly readings: Readings
  readonly anomalies: readonly Anomaly[]
}

function MetricChart ({ metric, series, loading, toMs, range, readings, anomalies }: ChartProps): JSX.Element {
  const { name, title, unit, states } = metric
  const [cursor, setCursor] = useState<number | null>(null)
  const data = useMemo(() => series.data(metric), [series, series.version, metric])
  const limits = readings.get(name)?.limits
  const lines = useMemo(() => linesOf(limits), [describeLimits(limits)])
  const marks = useMemo(() => (
    anomalies.filter((anomaly) => anomaly.metric === name).flatMap(({ time, value, severity }) => {
      const position = positionOf(value, metric)
      return position === null ? [] : [{ time: Date.parse(time) / 1000, value: position, severity }]
    })
  ), [anomalies, metric])
  const zones = useMemo(() => SEVERITIES.flatMap((severity) => (limits?.states?.[severity] ?? []).map((value) => (
    { severity, value: positionOf(value, metric) ?? -1 }))), [describeLimits(limits), metric])
  const names = useMemo(() => states.length === 0 ? undefined : states.map((state) => state.name), [states])
  const [times, max, min, mean] = data
  const at = cursor ?? times.length - 1
  const shown = mean[at] ?? null
  const isRange = (max[at] ?? null) !== (min[at] ?? null)
  const text = (value: number | null): string => names === undefined || value === null
    ? valueText(value, metric)
    : names[value] ?? ''
  return (
    <section class='panel' aria-label={`Chart of ${title}`}>
      <div class='chart-head'>
        <h3>{title}</h3>
        <span class='now small'>
          {cursor !== null && <span class='muted'>{dateTime((times[at] ?? 0) * 1000)} </span>}
          <b>{text(shown)}</b> <span class='muted'>{unit}</span>
          {isRange && shown !== null && (
            <span class='muted'> ({text(min[at] ?? null)} to {text(max[at] ?? null)})</span>
          )}
        </span>
      </div>
      <Chart
        label={labelOf(metric, range, limits)}
        {...names === undefined ? { series: SERIES } : { series: STATE_SERIES, names, zones }}
        data={data} from={(toMs - RANGE_MS[range]) / 1000} to={toMs / 1000}
        limits={lines} marks={marks} sync='satellite' onCursor={setCursor}
      />
      {!loading && times.length === 0 && <p class='note small'>No points in this range</p>}
    </section>
  )
}

function labelOf ({ title }: MetricInfo, range: Range, limits: MetricLimits | undefined): string {
  const words = limits === undefined ? '' : `; limits: ${describeLimits(limits) || 'none'}`
  return `${title} over ${range}${words}; the table has the last value`
}
