/** The last values by stream; the check boxes choose the charts. */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { valueText, type MetricInfo } from '../../model/catalogue.js'
import { age } from '../../model/format.js'
import { describeLimits } from '../../model/limits.js'
import type { Readings } from '../../model/readings.js'
import { STATE_WORDS } from '../../model/state.js'
import { StateIcon } from '../../parts/icon.js'
import { usePage } from '../../parts/use-page.js'

/** More metrics than this get a search field. */
const SEARCH_FROM = 12
/** A value that came this much before the newest says so. */
const OLDER_MS = 2_000

interface Props {
  readonly readings: Readings
  /** Names of the metrics with charts. */
  readonly chosen: readonly string[]
  readonly onChoose: (chosen: readonly string[]) => void
}

export function ValuesPanel ({ readings, chosen, onChoose }: Props): JSX.Element {
  const { catalogue } = usePage()
  const [search, setSearch] = useState('')
  const text = search.toLowerCase()
  const found = catalogue.filter(({ name, title }) => name.includes(text) || title.toLowerCase().includes(text))
  const streams = [...new Set(found.map(({ stream }) => stream))]
  const toggle = (name: string): void => {
    onChoose(chosen.includes(name) ? chosen.filter((each) => each !== name) : [...chosen, name])
  }
  return (
    <section class='panel values' aria-labelledby='values'>
      <div class='title'>
        <h2 id='values' class='muted'>Last values</h2>
        {catalogue.length > SEARCH_FROM && (
          <label class='field end'>
            Find <input type='search' value={search} onInput={(event) => setSearch(event.currentTarget.value)} />
          </label>
        )}
      </div>
      {streams.map((stream) => (
        <table key={stream} aria-label={`Last values of ${stream}`}>
          <thead>
            <tr>
              <th scope='col'>{streams.length > 1 ? stream : 'Metric, chart'}</th>
              <th scope='col' class='number'>Value</th>
              <th scope='col'><span class='hidden'>State</span></th>
            </tr>
          </thead>
          <tbody>
            {found.filter((metric) => metric.stream === stream).map((metric) => (
              <Row
                key={metric.name} metric={metric} readings={readings} checked={chosen.includes(metric.name)}
                onToggle={() => toggle(metric.name)}
              />
            ))}
          </tbody>
        </table>
      ))}
    </section>
  )
}

interface RowProps {
  readonly metric: MetricInfo
  readonly readings: Readings
  readonly checked: boolean
  readonly onToggle: () => void
}

function Row ({ metric, readings, checked, onToggle }: RowProps): JSX.Element {
  const { nowMs } = usePage()
  const { title, unit, description, name } = metric
  const last = readings.get(name)
  const state = last?.state ?? 'unchecked'
  const isOlder = last !== undefined && (readings.timeMs ?? 0) - last.timeMs > OLDER_MS
  const limits = describeLimits(last?.limits)
  return (
    <tr class={state === 'critical' || state === 'warning' ? `${state}-row` : ''}>
      <th scope='row'>
        <label title={description}><input type='checkbox' checked={checked} onChange={onToggle} /> {title}</label>
        <span class='small muted below'>{limits === '' ? 'no limits' : limits}</span>
      </th>
      <td class='number value' data-metric={name}>
        {valueText(last?.value ?? null, metric)} <span class='small muted'>{unit}</span>
        {isOlder && <span class='small muted below'>{age(nowMs() - last.timeMs)} ago</span>}
      </td>
      <td class={state}><StateIcon state={state} /><span class='hidden'>{STATE_WORDS[state]}</span></td>
    </tr>
  )
}
