/**
 * Data sources and the dashboard folder, for Grafana's file provisioning.
 *
 * Addresses and the password come from Grafana's environment; $NAME must be set, since Grafana supports no defaults
 * here. Values other than text cannot come from there: `timescaledb` is fixed to what works on both kinds of server,
 * since plain PostgreSQL has a time_bucket too.
 */
import { POSTGRES, PROMETHEUS } from './sources.js'

export function dataSources (): object {
  return {
    apiVersion: 1,
    prune: true,
    datasources: [
      {
        name: 'OrbitStream',
        ...POSTGRES,
        orgId: 1,
        access: 'proxy',
        url: '$ORBITSTREAM_DB_ADDRESS',
        user: 'orbitstream_reader',
        isDefault: true,
        editable: false,
        jsonData: {
          database: '$ORBITSTREAM_DB_NAME',
          sslmode: '$ORBITSTREAM_DB_SSLMODE',
          postgresVersion: 1500,
          timescaledb: true,
          maxOpenConns: 10,
          maxIdleConns: 10,
          connMaxLifetime: 3600
        },
        secureJsonData: { password: '$ORBITSTREAM_DB_PASSWORD' }
      },
      {
        name: 'OrbitStream Prometheus',
        ...PROMETHEUS,
        orgId: 1,
        access: 'proxy',
        url: '$ORBITSTREAM_PROMETHEUS_URL',
        editable: false,
        jsonData: { httpMethod: 'POST', timeInterval: '5s' }
      }
    ]
  }
}

export function dashboardProvider (): object {
  return {
    apiVersion: 1,
    providers: [{
      name: 'OrbitStream',
      orgId: 1,
      folder: 'OrbitStream',
      type: 'file',
      disableDeletion: true,
      updateIntervalSeconds: 30,
      allowUiUpdates: false,
      options: { path: '/var/lib/grafana/dashboards', foldersFromFilesStructure: false }
    }]
  }
}
