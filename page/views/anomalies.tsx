/** Anomalies as a running list: what the database has, then live, through the same filters. */
import type { JSX } from 'preact'
import { useEffect, useMemo, useState } from 'preact/hooks'
import { ANOMALIES_KEPT, AnomalyList, passes, type Anomaly, type AnomalyFilter } from '../model/anomalies.js'
import { hashOf } from '../model/route.js'
import { AnomalyTable } from '../parts/anomaly-table.js'
import { Refresh } from '../live/refresh.js'
import { usePage } from '../parts/use-page.js'

/** Rows at first; the reader asks for more. */
const ROWS_FIRST = 100
const SEVERITIES = [['', 'All'], ['critical', 'Critical'], ['warning', 'Warning']] as const

export function AnomaliesView (filter: AnomalyFilter): JSX.Element {
  const live = useAnomalies(filter)
  const [held, setHeld] = useState<readonly Anomaly[] | null>(null)
  const [rows, setRows] = useState(ROWS_FIRST)
  const all = held?.filter((anomaly) => passes(anomaly, filter)) ?? live.anomalies
  return (
    <>
      <div class='title'>
        <h1>Anomalies</h1>
        <span class='muted small'>
          {live.failure ?? (held === null ? 'Newest first, live' : 'Paused')}
        </span>
        <div class='end'>
          <Filters {...filter} />
          <button aria-pressed={held !== null} onClick={() => setHeld(held === null ? live.anomalies : null)}>
            {held === null ? 'Pause' : 'Continue'}
          </button>
        </div>
      </div>
      <section class='panel' aria-label='List of anomalies'>
        {all.length === 0
          ? <p class='note'>{emptyText(live.loading, held !== null)}</p>
          : <AnomalyTable label='Anomalies, newest first' anomalies={all.slice(0, rows)} withSatellite />}
        {all.length > rows && <p class='note'><button onClick={() => setRows(rows + ROWS_FIRST)}>Show more</button></p>}
        {all.length >= ANOMALIES_KEPT && rows >= all.length && (
          <p class='muted small'>The latest {ANOMALIES_KEPT}. Earlier ones: GET /anomalies.</p>
        )}
      </section>
    </>
  )
}

function emptyText (isLoading: boolean, isPaused: boolean): string {
  if (isPaused) return 'No anomalies with these filters were there when you paused.'
  return isLoading ? 'Loading …' : 'No anomalies with these filters.'
}

function Filters (filter: AnomalyFilter): JSX.Element {
  const { catalogue, go } = usePage()
  const change = (part: Partial<AnomalyFilter>): void => go(hashOf({ view: 'anomalies', ...filter, ...part }))
  return (
    <>
      <div class='choice' role='group' aria-label='Severity'>
        {SEVERITIES.map(([severity, word]) => (
          <button key={severity} aria-pressed={filter.severity === severity} onClick={() => change({ severity })}>
            {word}
          </button>
        ))}
      </div>
      <label class='field'>
        Metric
        <select value={filter.metric} onChange={(event) => change({ metric: event.currentTarget.value })}>
          <option value=''>All</option>
          {catalogue.map(({ name, title }) => <option key={name} value={name}>{title}</option>)}
        </select>
      </label>
      <label class='field'>
        Satellite
        <input
          type='search' placeholder='exact id' spellcheck={false} maxLength={64} value={filter.satellite}
          onChange={(event) => change({ satellite: event.currentTarget.value.trim() })}
        />
      </label>
    </>
  )
}

interface Anomalies {
  readonly anomalies: readonly Anomaly[]
  readonly loading: boolean
  readonly failure: string | null
}

/**
 * The latest anomalies that pass the filter: read from the database, and again after a gap; in between, live.
 * @param kept how many, at most
 */
export function useAnomalies ({ satellite, metric, severity }: AnomalyFilter, kept = ANOMALIES_KEPT): Anomalies {
  const page = usePage()
  const list = useMemo(() => new AnomalyList(kept), [satellite, metric, severity, kept])
  const [state, setState] = useState({ loading: true, failure: null as string | null })
  useEffect(() => {
    const filter = { satellite, metric, severity }
    setState({ loading: true, failure: null })
    const refresh = new Refresh(async (signal) => {
      const query = new URLSearchParams(Object.entries(filter).filter(([, value]) => value !== ''))
      query.set('limit', String(kept))
      const answer = await page.http.get<{ anomalies: Anomaly[] }>(`/anomalies?${query.toString()}`, signal)
      if (signal.aborted) return false
      if (answer.ok) list.add(answer.value.anomalies)
      setState({ loading: false, failure: answer.ok ? null : answer.message })
      return answer.ok
    })
    const stop = page.watch({
      onGap: refresh.note,
      onAnomaly: (anomaly) => { if (passes(anomaly, filter)) list.add([anomaly]) }
    })
    return () => {
      refresh.close()
      stop()
    }
  }, [page, list, kept])
  return { anomalies: list.all, ...state }
}
