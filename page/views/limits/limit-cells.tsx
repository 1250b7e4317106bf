/** The limits of a metric as cells of a table: four of a number, two lists of a state or bool. */
import type { JSX } from 'preact'
import type { MetricInfo } from '../../model/catalogue.js'
import { SEVERITIES, type MetricLimits, type Severity, type Side } from '../../model/limits.js'
import { reading } from '../../model/format.js'
import { STATE_WORDS } from '../../model/state.js'
import { StateIcon } from '../../parts/icon.js'

/** From the lowest value to the highest. */
export const LIMIT_COLUMNS = [
  { side: 'low', severity: 'critical', title: 'Critical below' },
  { side: 'low', severity: 'warning', title: 'Warning below' },
  { side: 'high', severity: 'warning', title: 'Warning above' },
  { side: 'high', severity: 'critical', title: 'Critical above' }
] as const satisfies ReadonlyArray<{ readonly side: Side, readonly severity: Severity, readonly title: string }>

export const LIMIT_HEADS = LIMIT_COLUMNS.map(({ side, severity, title }) => (
  <th class='number' scope='col' key={side + severity}><StateIcon state={severity} /> {title}</th>
))

interface Props {
  readonly limits: MetricLimits | undefined
  readonly info: MetricInfo
}

export function LimitCells ({ limits, info: { unit, states } }: Props): JSX.Element {
  if (states.length > 0) return <StateCells limits={limits} />
  return (
    <>
      {LIMIT_COLUMNS.map(({ side, severity, title }) => {
        const value = limits?.[side]?.[severity]
        return (
          <td class='number' data-label={title} key={side + severity}>
            {value === undefined
              ? <span class='muted'>–</span>
              : <span>{reading(value, null)} <span class='muted'>{unit}</span></span>}
          </td>
        )
      })}
    </>
  )
}

function StateCells ({ limits }: Pick<Props, 'limits'>): JSX.Element {
  return (
    <>
      {SEVERITIES.map((severity) => {
        const values = limits?.states?.[severity] ?? []
        return (
          <td class='number' colSpan={LIMIT_COLUMNS.length / SEVERITIES.length} key={severity}>
            {values.length === 0
              ? <span class='muted'>–</span>
              : <span><StateIcon state={severity} /> {STATE_WORDS[severity]} when {values.join(' or ')}</span>}
          </td>
        )
      })}
    </>
  )
}
