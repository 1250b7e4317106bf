/** Points per second, now and over five minutes, by transport. */
import type { JSX } from 'preact'
import { count } from '../../model/format.js'
import { windowOf, type Fleet, type Rates } from '../../model/fleet.js'
import { Chart } from '../../parts/chart.js'
import type { AlignedData } from 'uplot'

const TRANSPORTS = [
  { name: 'http', title: 'HTTP', color: '--series-1' },
  { name: 'udp', title: 'UDP', color: '--series-2' }
] as const

export function RatePanel ({ fleet }: { readonly fleet: Fleet }): JSX.Element {
  const { tick, history } = fleet
  const [now, before] = [tick?.rates.now ?? null, tick?.rates.five_minutes ?? null]
  const [times, http = [], udp = []] = history.read()
  const hasUdp = tick !== null && (tick.udp.sockets.length > 0 || tick.udp.packets > 0)
  const transports = TRANSPORTS.filter(({ name }) => name === 'http' || hasUdp)
  const data = (hasUdp ? [times, http, udp] : [times, http]) as AlignedData
  return (
    <section class='panel rate' aria-labelledby='rate'>
      <div>
        <h2 id='rate'>Points per second</h2>
        <p class='big' data-rate={sum(now) ?? ''}>{count(round(sum(now)))}</p>
        <table>
          <thead>
            <tr>
              <th><span class='hidden'>Transport</span></th>
              <th class='number' scope='col'>now</th>
              <th class='number' scope='col'>5 min</th>
            </tr>
          </thead>
          <tbody>
            {transports.map(({ name, title, color }) => (
              <tr key={name}>
                <th scope='row'><span class={`key ${color.slice(2)}`} /> {title}</th>
                <td class='number'>{count(round(now?.[name] ?? null))}</td>
                <td class='number'>{count(round(before?.[name] ?? null))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <Chart
        label='Points per second over the last five minutes, by transport' fromZero data={data} {...windowOf(times)}
        series={transports.map(({ title, color }) => ({ label: title, color, role: 'area' }))}
      />
    </section>
  )
}

function sum (rates: Rates | null): number | null {
  return rates === null ? null : rates.http + rates.udp
}

function round (value: number | null): number | null {
  return value === null ? null : Math.round(value)
}
