/** Anomalies as rows, newest first. */
import type { JSX } from 'preact'
import { memo } from './memo.js'
import { keyOf, limitText, type Anomaly } from '../model/anomalies.js'
import { whenExactly } from '../model/format.js'
import { satelliteHash } from '../model/route.js'
import { STATE_WORDS } from '../model/state.js'
import { StateIcon } from './icon.js'
import { valueText, type MetricInfo } from '../model/catalogue.js'
import { usePage } from './use-page.js'

interface Props {
  readonly label: string
  readonly anomalies: readonly Anomaly[]
  /** Whether to name the satellite in each row. */
  readonly withSatellite: boolean
}

export function AnomalyTable ({ label, anomalies, withSatellite }: Props): JSX.Element {
  const { metric: find, nowMs } = usePage()
  return (
    <div class='scroll'>
      <table class='rows anomalies' aria-label={label}>
        <thead>
          <tr>
            <th scope='col'>Time (UTC)</th>
            <th scope='col'><span class='word'>Severity</span></th>
            {withSatellite && <th scope='col'>Satellite</th>}
            <th scope='col'>Metric</th>
            <th scope='col' class='number'>Value</th>
            <th scope='col' class='number'>Limit</th>
            <th scope='col' class='number wide'>Limits version</th>
          </tr>
        </thead>
        <tbody>
          {anomalies.map((anomaly) => (
            <Row
              key={keyOf(anomaly)} anomaly={anomaly} info={find(anomaly.metric)} withSatellite={withSatellite}
              time={whenExactly(Date.parse(anomaly.time), nowMs())}
            />
          ))}
        </tbody>
      </table>
    </div>
  )
}

interface RowProps {
  readonly anomaly: Anomaly
  readonly info: MetricInfo
  readonly withSatellite: boolean
  readonly time: string
}

const Row = memo(({ anomaly, info, withSatellite, time }: RowProps): JSX.Element => {
  const { severity, satellite_id: satellite, value, limit, limits_version: version } = anomaly
  return (
    <tr>
      <td class='time'>{time}</td>
      <td class={severity}><StateIcon state={severity} /> <span class='word'>{STATE_WORDS[severity]}</span></td>
      {withSatellite && <td><a href={satelliteHash(satellite)}>{satellite}</a></td>}
      <td>{info.title}</td>
      <td class='number'>{valueText(value, info)} <span class='muted'>{info.unit}</span></td>
      <td class='number muted'>{limitText(anomaly, valueText(limit, info)) || '–'}</td>
      <td class='number muted wide'>{version}</td>
    </tr>
  )
})
