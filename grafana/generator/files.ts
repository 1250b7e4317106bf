/** Every file of grafana/ that is made from code, by its path there. */
import { stringify } from 'yaml'
import { alertRules } from './alerts.js'
import { fleetBoard } from './fleet.js'
import { ingestBoard } from './ingest.js'
import { dashboardProvider, dataSources } from './provisioning.js'
import { satelliteBoard } from './satellite.js'

const HEAD = '# Made from grafana/generator by "npm run grafana": change it there.\n'

export function generatedFiles (): ReadonlyMap<string, string> {
  const yaml = (content: object): string => HEAD + stringify(content, { lineWidth: 0, aliasDuplicateObjects: false })
  const json = (content: object): string => `${JSON.stringify(content, null, 2)}\n`
  return new Map([
    ['dashboards/fleet.json', json(fleetBoard().build())],
    ['dashboards/satellite.json', json(satelliteBoard().build())],
    ['dashboards/ingest.json', json(ingestBoard().build())],
    ['provisioning/datasources/orbitstream.yml', yaml(dataSources())],
    ['provisioning/dashboards/orbitstream.yml', yaml(dashboardProvider())],
    ['provisioning/alerting/orbitstream.yml', yaml(alertRules())]
  ])
}
