/** The fleet at a glance: what comes in and where it is, and the state of every satellite. */
import type { JSX } from 'preact'
import type { Route } from '../../model/route.js'
import { usePage } from '../../parts/use-page.js'
import { AnomaliesPanel } from './anomalies-panel.js'
import { LatencyPanel } from './latency-panel.js'
import { PathPanel } from './path-panel.js'
import { RatePanel } from './rate-panel.js'
import { SatellitesPanel } from './satellites-panel.js'
import { SystemPanel } from './system-panel.js'

export function FleetView ({ route }: { readonly route: Extract<Route, { view: 'fleet' }> }): JSX.Element {
  const { fleet } = usePage()
  return (
    <>
      <h1 class='hidden'>Fleet</h1>
      <div class='cards'>
        <RatePanel fleet={fleet} />
        <PathPanel tick={fleet.tick} />
        <LatencyPanel fleet={fleet} />
        <SystemPanel tick={fleet.tick} />
      </div>
      <div class='fleet-main'>
        <SatellitesPanel search={route.search} state={route.state} />
        <AnomaliesPanel />
      </div>
    </>
  )
}
