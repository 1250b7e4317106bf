/** The limits in force, by default and for particular satellites, and who changed them when. */
import type { JSX } from 'preact'
import { useCallback, useEffect, useState } from 'preact/hooks'
import type { Answer } from '../../net/http.js'
import type { MetricInfo } from '../../model/catalogue.js'
import { dateTime } from '../../model/format.js'
import { describeChange, type LimitSet, type LimitsVersion, type MetricLimits } from '../../model/limits.js'
import { usePage } from '../../parts/use-page.js'
import { LimitsDialog, type Edited } from './limits-dialog.js'
import { History } from './history.js'
import { LimitCells, LIMIT_HEADS } from './limit-cells.js'

/** Overrides listed at once; a set may have 10,000. */
const OVERRIDES_SHOWN = 200

export function LimitsView (): JSX.Element {
  const { limits, failure, reload } = useLimits()
  const [edited, setEdited] = useState<Edited | null>(null)
  if (limits === null) return <p class='note' role='status'>{failure ?? 'Loading the limits …'}</p>
  const close = (): void => {
    setEdited(null)
    void reload()
  }
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
      <History version={limits.version} />
      {edited !== null && <LimitsDialog base={limits} edited={edited} onClose={close} />}
    </>
  )
}

/** Read again whenever the feed says that there is another version. */
function useLimits (): { limits: LimitsVersion | null, failure: string | null, reload: () => Promise<void> } {
  const { http, limitsVersion } = usePage()
  const [limits, setLimits] = useState<LimitsVersion | null>(null)
  const [failure, setFailure] = useState<string | null>(null)
  const reload = useCallback(async () => {
    const answer: Answer<LimitsVersion> = await http.get('/limits')
    if (answer.ok) setLimits(answer.value)
    setFailure(answer.ok ? null : answer.message)
  }, [http])
  useEffect(() => { void reload() }, [reload, limitsVersion])
  return { limits, failure, reload }
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
