/** The four limits of a metric as cells of a table. */
import type { JSX } from 'preact'
import type { MetricLimits, Severity, Side } from '../../model/limits.js'
import { reading } from '../../model/format.js'
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
  readonly unit: string
}

export function LimitCells ({ limits, unit }: Props): JSX.Element {
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
