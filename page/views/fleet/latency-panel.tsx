/** How long until a point is acknowledged, and until it is in the database. */
import type { JSX } from 'preact'
import { duration } from '../../model/format.js'
import { windowOf, type Fleet } from '../../model/fleet.js'
import { Chart } from '../../parts/chart.js'

const ROWS = [
  { name: 'ack', title: 'Acknowledged', color: '--series-3' },
  { name: 'commit', title: 'Committed', color: '--series-4' }
] as const

export function LatencyPanel ({ fleet }: { readonly fleet: Fleet }): JSX.Element {
  const { tick, history } = fleet
  const [times, , , ack = [], commit = []] = history.read()
  return (
    <section class='panel latency' aria-labelledby='latency'>
      <h2 id='latency'>Latency <span class='muted'>last 10 s</span></h2>
      <table>
        <thead>
          <tr>
            <th><span class='hidden'>Step</span></th>
            <th class='number' scope='col'>p50</th>
            <th class='number' scope='col'>p99</th>
          </tr>
        </thead>
        <tbody>
          {ROWS.map(({ name, title, color }) => (
            <tr key={name}>
              <th scope='row'><span class={`key ${color.slice(2)}`} /> {title}</th>
              <td class='number'>{duration(tick?.latency[name].p50_s ?? null)}</td>
              <td class='number'><b>{duration(tick?.latency[name].p99_s ?? null)}</b></td>
            </tr>
          ))}
        </tbody>
      </table>
      <Chart
        label='99th percentiles of both latencies over the last five minutes' fromZero
        data={[times, ack, commit]} {...windowOf(times)} format={duration}
        series={ROWS.map(({ title, color }) => ({ label: title, color }))}
      />
    </section>
  )
}
