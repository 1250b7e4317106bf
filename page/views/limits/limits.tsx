/** The limits in force, by default and for particular satellites, and who changed them when. */
import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { Refresh } from '../../live/refresh.js'
import type { MetricInfo } from '../../model/catalogue.js'
import { dateTime } from '../../model/format.js'
import { describeChange, type LimitSet, type LimitsVersion, type MetricLimits } from '../../model/limits.js'
import { usePage } from '../../parts/use-page.js'
import { LimitsDialog, type Edited } from './limits-dialog.js'
import { History, VERSIONS_READ } from './history.js'
import { LimitCells, LIMIT_HEADS } from './limit-cells.js'

/** Overrides listed at once; a set may have 10,000. */
const OVERRIDES_SHOWN = 200

export function LimitsView (): JSX.Element {
  const { limits, history, failure } = useLimits()
  const [edited, setEdited] = useState<Edited | null>(null)
  if (limits === null) return <p class='note' role='status'>{failure ?? 'Loading the limits …'}</p>
  return (
    <>
      <div class='title'>
        <h1>Limits</h1>
        <span class='muted small'>
          Version {limits.version}, {dateTime(Date.parse(limits.changed_at))} UTC, by <b>{limits.changed_by}</b>
        </span>
      </div>
      {failure !== null && <p class='problem' role='status'>{failure}</p>}
      <Defaults set={limits.limits} onEdit={setEdited} />
      <Overrides set={limits.limits} onEdit={setEdited} />
      <History history={history} />
      {edited !== null && <LimitsDialog base={limits} edited={edited} onClose={() => setEdited(null)} />}
    </>
  )
}

interface Limits {
  /** In force; null: not yet known. */
  readonly limits: LimitsVersion | null
  readonly history: readonly LimitsVersion[]
  readonly failure: string | null
}

/** Read again whenever there may be another version, which the feed says, and until the server answers. */
function useLimits (): Limits {
  const page = usePage()
  const [known, setKnown] = useState<Limits>({ limits: null, history: [], failure: null })
  useEffect(() => {
    const refresh = new Refresh(async (signal) => {
      const [current, past] = await Promise.all([
        page.http.get<LimitsVersion>('/limits', signal),
        page.http.get<{ history: LimitsVersion[] }>(`/limits/history?limit=${VERSIONS_READ}`, signal)
      ])
      if (signal.aborted) return false
      setKnown(({ limits, history }) => ({
        limits: current.ok ? current.value : limits,
        history: past.ok ? past.value.history : history,
        failure: current.ok ? past.ok ? null : past.message : current.message
      }))
      return current.ok && past.ok
    })
    const stop = page.watch({ onGap: refresh.note })
    return () => {
      refresh.close()
      stop()
    }
  }, [page])
  return known
}

interface PartProps {
  readonly set: LimitSet
  readonly onEdit: (edited: Edited) => void
}

function Defaults ({ set, onEdit }: PartProps): JSX.Element {
  const { catalogue } = usePage()
  return (
    <section class='panel' aria-labelledby='defaults'>
      <h2 id='defaults'>All satellites</h2>
      <div class='scroll'>
        <table class='rows limits'>
          <thead><tr><th scope='col'>Metric</th>{LIMIT_HEADS}<th><span class='hidden'>Change</span></th></tr></thead>
          <tbody>
            {catalogue.map((metric) => (
              <LimitRow
                key={metric.name} info={metric} limits={set.default[metric.name]}
                onEdit={() => onEdit({ key: null, metric: metric.name, limits: set.default[metric.name] ?? null })}
              />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  )
}

function Overrides ({ set, onEdit }: PartProps): JSX.Element {
  const { metric: find } = usePage()
  const [search, setSearch] = useState('')
  const entries = Object.entries(set.overrides)
    .filter(([key]) => key.toLowerCase().includes(search.toLowerCase()))
    .flatMap(([key, metrics]) => Object.entries(metrics).map(([name, limits]) => ({ key, name, limits })))
  const shown = entries.slice(0, OVERRIDES_SHOWN)
  return (
    <section class='panel' aria-labelledby='overrides'>
      <div class='title'>
        <h2 id='overrides'>Specific satellites</h2>
        <div class='end'>
          <label class='field'>
            Find <input type='search' value={search} onInput={(event) => setSearch(event.currentTarget.value)} />
          </label>
          <button onClick={() => onEdit({ key: '', metric: '', limits: null })}>Add limits for satellites …</button>
        </div>
      </div>
      {entries.length === 0 && (
        <p class='note'>{search === '' ? 'No satellite has limits of its own.' : 'None found.'}</p>
      )}
      {entries.length > 0 && (
        <div class='scroll'>
          <table class='rows limits'>
            <thead>
              <tr>
                <th scope='col'>Satellites</th><th scope='col'>Metric</th>{LIMIT_HEADS}
                <th><span class='hidden'>Change</span></th>
              </tr>
            </thead>
            <tbody>
              {shown.map(({ key, name, limits }) => (
                <LimitRow
                  key={`${key} ${name}`} satellites={key} info={find(name)} limits={limits}
                  onEdit={() => onEdit({ key, metric: name, limits })}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {entries.length > shown.length && (
        <p class='muted small'>The first {shown.length} of {entries.length}; find others by their id.</p>
      )}
    </section>
  )
}

interface RowProps {
  readonly satellites?: string
  readonly info: MetricInfo
  readonly limits: MetricLimits | undefined
  readonly onEdit: () => void
}

function LimitRow ({ satellites, info, limits, onEdit }: RowProps): JSX.Element {
  const { title } = info
  const change = describeChange(limits)
  const name = <>{title}{change.length > 0 && <span class='muted small'> {change.join(', ')}</span>}</>
  return (
    <tr>
      {satellites !== undefined && <th scope='row'>{satellites}</th>}
      {satellites === undefined ? <th scope='row'>{name}</th> : <td>{name}</td>}
      <LimitCells limits={limits} info={info} />
      <td class='number'>
        <button class='plain' onClick={onEdit}>
          Change<span class='hidden'> limits of {title} {satellites ?? ''}</span>
        </button>
      </td>
    </tr>
  )
}
