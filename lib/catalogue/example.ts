/**
 * The example that `catalogue init` writes: a metric of the built-in catalogue and some of a user's own, with all
 * that can be said about one, and three more streams.
 */
export const EXAMPLE = `# yaml-language-server: $schema=./catalogue.schema.json
# The streams and metrics of your satellites. Start the server with it:
#
#   CATALOGUE=./catalogue.yaml bin/orbitstream-ingest start
#
# and check it after each change with "orbitstream-ingest catalogue check catalogue.yaml".
catalogue: 1
streams:
  # A stream is what a sender sends together, and has a table of its own. This one has no name in paths:
  # POST /telemetry, table telemetry. It must be here.
  telemetry:
    metrics:
      # The name is the field that senders use, and the column in the database.
      battery_charge_percent:
        # For good: it is never given to another metric, and a new metric gets an id above all others.
        id: 1
        title: Battery charge
        unit: "%"
        description: State of charge, from the coulomb counter.
        # Smallest step of the sensor.
        resolution: 0.25
        # Values that can be true. Others are stored as anomalies, or as null ("outside: null"), or refused
        # ("outside: refuse").
        range: { min: 0, max: 100 }
        # They hold until somebody sets others with "orbitstream-ingest limits set" or PUT /limits.
        limits:
          low: { warning: 20, critical: 10 }
        # How the simulator moves it: charge, fill, signal, walk, counter or constant; "beyond" are simulated anomalies.
        simulate: { kind: charge, between: [48, 98], beyond: [0.5, 9.5] }

      bus_voltage:
        id: 4
        title: Bus voltage
        unit: V
        resolution: 0.01
        limits:
          low: { warning: 27, critical: 24 }
          high: { warning: 33, critical: 34 }

      panel_temperature:
        id: 5
        title: Panel temperature
        unit: °C
        resolution: 0.1
        limits:
          low: { critical: -100 }
          high: { critical: 110 }
        simulate: { kind: walk, between: [-90, 95] }

      transmitter_power:
        id: 6
        title: Transmitter power
        unit: dBm
        # Earlier names, which senders may still use.
        aliases: [tx_power]
        simulate: { kind: signal, between: [0, 30] }

      frames_lost:
        id: 7
        title: Lost frames
        # float is what metrics are by default; others are float32, int, bool and state. A type never changes.
        type: int
        limits:
          high: { warning: 50 }
        simulate: { kind: fill, between: [0, 40], beyond: [51, 80] }

      mode:
        id: 8
        title: Mode
        type: state
        # Senders may use names or numbers; the database has the numbers, and dashboards show the names.
        states: { SAFE: 0, NOMINAL: 1, DOWNLINK: 2, TUMBLING: 9 }
        limits:
          states: { warning: [SAFE], critical: [TUMBLING] }

      heater_on: { id: 9, title: Heater, type: bool }

      # Nobody sends these any more: their points stay, dashboards do not show them. Metrics are never removed. They
      # are here because every database that was used without a catalogue has them.
      storage_usage_mb: { id: 2, unit: MB, retired: true }
      signal_strength_dbm: { id: 3, unit: dBm, retired: true }

  # POST /telemetry/power, table power, rollups power_10s and power_1m; limits name power.cell_voltage.
  power:
    # For good, like that of a metric; telemetry has the id 1.
    id: 2
    title: Power
    # How often a satellite sends it; the simulator keeps to it.
    interval: 10s
    metrics:
      cell_voltage: { id: 1, unit: V, resolution: 0.001, limits: { low: { warning: 3.3, critical: 3 } } }
      solar_current: { id: 2, unit: A, resolution: 0.01, simulate: { kind: charge, between: [0, 4] } }
      charging: { id: 3, type: bool }

  thermal:
    id: 3
    title: Thermal
    interval: 30s
    # Instead of the setting RETENTION: older points are deleted. chunk_interval and compress_after stand for
    # CHUNK_INTERVAL and COMPRESS_AFTER in the same way, on TimescaleDB.
    retention: 365d
    metrics:
      battery_temperature:
        { id: 1, unit: °C, resolution: 0.1, limits: { low: { critical: -10 }, high: { warning: 40, critical: 50 } } }
      radiator_temperature: { id: 2, unit: °C, resolution: 0.1, simulate: { kind: walk, between: [-60, 30] } }

  radio:
    id: 4
    title: Radio
    interval: 1s
    metrics:
      signal_strength: { id: 1, unit: dBm, simulate: { kind: signal, between: [-110, -70] } }
      lock: { id: 2, type: state, states: { NONE: 0, CARRIER: 1, SUBCARRIER: 2, BITS: 3 } }
      frames_received: { id: 3, type: int, simulate: { kind: counter, between: [0, 100000] } }
`
