/** What a satellite sends: its last values, and series of the chosen metrics, from the database and then live. */
import { useEffect, useMemo, useState } from 'preact/hooks'
import { qualified, type MetricInfo } from '../../model/catalogue.js'
import { Readings, type SatelliteAnswer } from '../../model/readings.js'
import { RANGE_MS, type Range } from '../../model/route.js'
import { SatelliteSeries, type SeriesAnswer } from '../../model/series.js'
import { Refresh } from '../../live/refresh.js'
import { usePage } from '../../parts/use-page.js'

/** Points asked for: one for each two or three pixels of a chart. */
const POINTS = 600
/** The database is asked again after this part of the range, so that live points become buckets like the others. */
const REFRESH_PART = 1 / 60
const REFRESH_MS_MIN = 15_000
const REFRESH_MS_MAX = 300_000

export interface Loaded<T> {
  readonly value: T
  readonly loading: boolean
  readonly failure: string | null
}

export function useReadings (id: string): Loaded<Readings> {
  const page = usePage()
  const value = useMemo(() => new Readings(), [id])
  const [state, setState] = useState({ loading: true, failure: null as string | null })
  useEffect(() => {
    setState({ loading: true, failure: null })
    const refresh = new Refresh(async (signal) => {
      const answer = await page.http.get<SatelliteAnswer>(`/satellites/${encodeURIComponent(id)}`, signal)
      if (signal.aborted) return false
      if (answer.ok) value.setStored(answer.value)
      const failure = answer.ok || answer.status === 404 ? null : answer.message
      setState({ loading: false, failure })
      return failure === null
    })
    const stop = page.watch({
      onGap: refresh.note,
      onPoint: ({ satellite, stream, values }) => {
        if (satellite !== id) return
        for (const [metric, [timeMs, reading]] of Object.entries(values)) {
          value.addLive(qualified(stream, metric), timeMs, reading)
        }
      }
    })
    return () => {
      refresh.close()
      stop()
    }
  }, [page, id, value])
  return { value, ...state }
}

/** @param metrics of one stream */
export function useSeries (
  id: string, stream: string, metrics: readonly MetricInfo[], range: Range
): Loaded<SatelliteSeries> {
  const page = usePage()
  const names = metrics.map(({ ownName }) => ownName).join(',')
  const value = useMemo(() => new SatelliteSeries(metrics), [id, stream, names, range, page.catalogue])
  const [state, setState] = useState({ loading: true, failure: null as string | null })
  useEffect(() => {
    setState({ loading: true, failure: null })
    const refresh = new Refresh(async (signal) => {
      const query = new URLSearchParams({
        metrics: names, from: String(Math.round(page.nowMs() - RANGE_MS[range])), points: String(POINTS)
      })
      const path = `/satellites/${encodeURIComponent(id)}/${encodeURIComponent(stream)}?${query.toString()}`
      const answer = await page.http.get<SeriesAnswer>(path, signal)
      if (signal.aborted) return false
      if (answer.ok) value.setStored(answer.value)
      setState({ loading: false, failure: answer.ok ? null : answer.message })
      page.changes.now()
      return answer.ok
    })
    const stop = page.watch({
      onGap: refresh.note,
      onPoint: ({ satellite, stream: from, time_ms: timeMs, values }) => {
        if (satellite !== id || from !== stream) return
        value.addLive(timeMs, value.metrics.map(({ ownName }) => values[ownName]?.[1] ?? null))
      }
    })
    const everyMs = Math.min(REFRESH_MS_MAX, Math.max(REFRESH_MS_MIN, RANGE_MS[range] * REFRESH_PART))
    const timer = setInterval(() => { if (page.link.state === 'live') refresh.note() }, everyMs)
    return () => {
      refresh.close()
      clearInterval(timer)
      stop()
    }
  }, [page, value])
  return { value, ...state }
}
