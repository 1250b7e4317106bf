/** Metrics whose values are kept elsewhere: each one is filled afresh when it is collected. */
import { Counter, Gauge, Registry, type CounterConfiguration, type GaugeConfiguration } from 'prom-client'

export class MetricRegistry {
  protected readonly registry = new Registry()

  counter (configuration: CounterConfiguration<string>, fill: (counter: Counter) => void): void {
    const counter: Counter = new Counter({
      ...configuration,
      registers: [this.registry],
      collect: () => {
        counter.reset()
        fill(counter)
      }
    })
  }

  gauge (configuration: GaugeConfiguration<string>, fill: (gauge: Gauge) => void): void {
    const gauge: Gauge = new Gauge({
      ...configuration,
      registers: [this.registry],
      collect: () => {
        gauge.reset()
        fill(gauge)
      }
    })
  }
}
