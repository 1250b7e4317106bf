/** The latest anomalies of all satellites, where the screen has room for them. */
import type { JSX } from 'preact'
import { keyOf, limitText, type Anomaly } from '../../model/anomalies.js'
import { valueText, type MetricInfo } from '../../model/catalogue.js'
import { whenExactly } from '../../model/format.js'
import { satelliteHash } from '../../model/route.js'
import { STATE_WORDS } from '../../model/state.js'
import { StateIcon } from '../../parts/icon.js'
import { memo } from '../../parts/memo.js'
import { usePage } from '../../parts/use-page.js'
import { useAnomalies } from '../anomalies.js'

/** As many as fit on a wall screen. */
const SHOWN = 40
const ALL = { satellite: '', metric: '', severity: '' }

export function AnomaliesPanel (): JSX.Element {
  const { metric: find, nowMs } = usePage()
  const { anomalies, loading, failure } = useAnomalies(ALL, SHOWN)
  return (
    <section class='panel latest' aria-labelledby='latest'>
      <div class='title'>
        <h2 id='latest'>Latest anomalies</h2>
        <a class='end small' href='#/anomalies'>All</a>
      </div>
      {failure !== null && <p class='problem small'>{failure}</p>}
      {anomalies.length === 0 && <p class='note'>{loading ? 'Loading …' : 'None'}</p>}
      <ul>
        {anomalies.slice(0, SHOWN).map((anomaly) => (
          <Row
            key={keyOf(anomaly)} anomaly={anomaly} info={find(anomaly.metric)}
            time={whenExactly(Date.parse(anomaly.time), nowMs())}
          />
        ))}
      </ul>
    </section>
  )
}

interface RowProps {
  readonly anomaly: Anomaly
  readonly info: MetricInfo
  readonly time: string
}

const Row = memo(({ anomaly, info, time }: RowProps): JSX.Element => {
  const { severity, satellite_id: satellite, value, limit: before } = anomaly
  const limit = limitText(anomaly, valueText(before, info))
  return (
    <li>
      <span class={severity}><StateIcon state={severity} /><span class='hidden'>{STATE_WORDS[severity]}</span></span>
      <a class='id' href={satelliteHash(satellite)} title={satellite}>{satellite}</a>
      <span class='number muted small'>{time}</span>
      <span class='what small'>
        {info.title} <b>{valueText(value, info)}</b> {info.unit}
        {limit !== '' && <span class='muted'>, {limit}</span>}
      </span>
    </li>
  )
})
