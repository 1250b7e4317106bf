/** One satellite: its last values, charts of the chosen metrics, its anomalies. */
import type { JSX } from 'preact'
import { age } from '../../model/format.js'
import type { MetricInfo } from '../../model/catalogue.js'
import { hashOf, RANGES, type Range, type Route } from '../../model/route.js'
import { STATE_WORDS, type State } from '../../model/state.js'
import type { Readings } from '../../model/readings.js'
import { AnomalyTable } from '../../parts/anomaly-table.js'
import { StateIcon } from '../../parts/icon.js'
import { usePage } from '../../parts/use-page.js'
import { useAnomalies } from '../anomalies.js'
import { StreamCharts } from './stream-charts.js'
import { useReadings } from './use-satellite.js'
import { ValuesPanel } from './values-panel.js'

type SatelliteRoute = Extract<Route, { view: 'satellite' }>

/** Charts until the user chooses. */
const CHARTS_FIRST = 4
const ANOMALIES_SHOWN = 20
const RANGE_WORDS: Readonly<Record<Range, string>> = {
  '15m': '15 min', '1h': '1 hour', '6h': '6 hours', '1d': '1 day', '7d': '7 days', '30d': '30 days'
}

export function SatelliteView ({ route }: { readonly route: SatelliteRoute }): JSX.Element {
  const { catalogue, go } = usePage()
  const { id, range } = route
  const readings = useReadings(id)
  const filter = { satellite: id, metric: '', severity: '' }
  const { anomalies } = useAnomalies(filter)
  const latest = anomalies.slice(0, ANOMALIES_SHOWN)
  const chosen = route.metrics ?? catalogue.slice(0, CHARTS_FIRST).map(({ name }) => name)
  const shown = catalogue.filter(({ name }) => chosen.includes(name))
  const choose = (metrics: readonly string[]): void => go(hashOf({ ...route, metrics }))
  return (
    <>
      <div class='title'>
        <a href='#/'>← Fleet</a>
        <h1>{id}</h1>
        <SatelliteState readings={readings.value} loading={readings.loading} />
        <div class='end'>
          <div class='choice' role='group' aria-label='Time range'>
            {RANGES.map((each) => (
              <button key={each} aria-pressed={range === each} onClick={() => go(hashOf({ ...route, range: each }))}>
                {RANGE_WORDS[each]}
              </button>
            ))}
          </div>
        </div>
      </div>
      {readings.failure !== null && <p class='problem small'>{readings.failure}</p>}
      <div class='satellite'>
        <ValuesPanel readings={readings.value} chosen={chosen} onChoose={choose} />
        <div class='main'>
          <div class='charts'>
            {streamsOf(shown).map(([stream, metrics]) => (
              <StreamCharts
                key={stream} id={id} stream={stream} metrics={metrics} range={range} readings={readings.value}
                anomalies={anomalies}
              />
            ))}
          </div>
          <section class='panel' aria-labelledby='anomalies'>
            <h2 id='anomalies'>Latest anomalies</h2>
            {anomalies.length === 0
              ? <p class='note'>None</p>
              : <AnomalyTable label='Latest anomalies' anomalies={latest} withSatellite={false} />}
            {anomalies.length > ANOMALIES_SHOWN && (
              <a class='small' href={hashOf({ view: 'anomalies', ...filter })}>All anomalies of {id}</a>
            )}
          </section>
        </div>
      </div>
    </>
  )
}

function streamsOf (metrics: readonly MetricInfo[]): Array<[string, MetricInfo[]]> {
  const byStream = new Map<string, MetricInfo[]>()
  for (const metric of metrics) byStream.set(metric.stream, [...byStream.get(metric.stream) ?? [], metric])
  return [...byStream]
}

interface StateProps {
  readonly readings: Readings
  readonly loading: boolean
}

function SatelliteState ({ readings, loading }: StateProps): JSX.Element {
  const { nowMs, staleness } = usePage()
  const { timeMs } = readings
  if (timeMs === null) return <span class='muted'>{loading ? 'Loading …' : 'No point stored yet'}</span>
  const ageMs = nowMs() - timeMs
  const state: State = ageMs > staleness.ms ? 'stale' : readings.state
  return (
    <span class={`badge ${state}`}>
      <StateIcon state={state} /> {STATE_WORDS[state]}
      <span class='muted'>last point {ageMs < 2_000 ? 'now' : `${age(ageMs)} ago`}</span>
    </span>
  )
}
