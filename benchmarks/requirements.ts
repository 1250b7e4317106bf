/**
 * What the groups `api`, `metrics`, `page` and `access` must show, on a quiet machine with two cores. A group that ran
 * without one of these figures fails.
 */
import { cpus } from 'node:os'
import type { Group, Plan } from './plan.js'
import type { Measurement, Ratio, RunRecord, Verdict } from './result.js'
import { ENGINES } from './scenarios/access/access.js'
import { TAB_AFTER, TAB_BEFORE } from './scenarios/page/heap.js'
import { countedRuns, LOAD_ROLE, median, runsOf } from './statistics.js'

/** What was measured, by name. NaN: it was not. */
class Figures {
  constructor (private readonly measurements: readonly Measurement[], private readonly ratios: readonly Ratio[]) {}

  ratio (name: string): number {
    return this.ratios.find((ratio) => ratio.name === name)?.value ?? NaN
  }

  /** Median over the runs that count. */
  median (name: string, figure: (run: RunRecord) => number): number {
    return median(countedRuns(runsOf(this.measurements, name)).map(figure))
  }
}

interface Requirement {
  readonly group: Group
  readonly title: string
  /** After the number. */
  readonly unit: string
  readonly figure: (figures: Figures) => number
  /** Larger figures fail; default: none is too large. */
  readonly atMost?: number
  /** Smaller figures fail; default: none is too small. */
  readonly atLeast?: number
}

const P99 = ({ latency }: RunRecord): number => latency?.p99 ?? NaN
const MB = 1e6

/** Of the largest process. @param isOne whether a kind of process counts */
const largestMb = (isOne: (kind: string) => boolean = () => true) => ({ peakBytes = {} }: RunRecord): number => {
  const bytes = Object.entries(peakBytes).flatMap(([kind, peak]) => isOne(kind) ? [peak] : [])
  return bytes.length === 0 ? NaN : Math.max(...bytes) / MB
}

const isProgram = (kind: string): boolean => kind !== LOAD_ROLE && !kind.startsWith('database')
/** What pages cost: the database's own work in the background is not theirs. */
const isAsked = (kind: string): boolean => isProgram(kind) || kind === 'database sessions'

/** Processor seconds. @param isOne whether a kind of process counts */
const secondsOf = (isOne: (kind: string) => boolean) => ({ cpuSeconds }: RunRecord): number => cpuSeconds === undefined
  ? NaN
  : Object.entries(cpuSeconds).reduce((sum, [kind, seconds]) => isOne(kind) ? sum + seconds : sum, 0)

/** Percent of the machine's processors. */
const processorShare = (run: RunRecord): number => secondsOf(isAsked)(run) / run.seconds / cpus().length * 100
/** The rate is that of uploads. */
const secondsPerUpload = (run: RunRecord): number => secondsOf(isProgram)(run) / (run.rate * run.seconds)
const heapGrowth = ({ peakBytes }: RunRecord): number => (
  ((peakBytes?.[TAB_AFTER] ?? NaN) / (peakBytes?.[TAB_BEFORE] ?? NaN) - 1) * 100)

const answer = (name: string, title: string, atMost: number): Requirement => ({
  group: 'api', title: `${title}, p99`, unit: 'ms', figure: (figures) => figures.median(`api_${name}`, P99), atMost
})

const API: readonly Requirement[] = [
  answer('satellite', 'Last values of a satellite', 50),
  answer('minutes', 'Its last 15 minutes', 100),
  answer('days', '30 days of it, 1,000 points', 300),
  answer('fleet', 'States of 1,000 satellites', 100),
  {
    group: 'api',
    title: 'The largest process of the server during an export',
    unit: 'MB',
    figure: (figures) => figures.median('api_export', largestMb()),
    atMost: 200
  },
  {
    group: 'api',
    title: '202 at 10,000 points/s, p99 beside an export ÷ without',
    unit: '',
    figure: (figures) => figures.ratio('api_export_p99'),
    atMost: 1.2
  }
]

const METRICS: readonly Requirement[] = [
  {
    group: 'metrics',
    title: 'JSON, values a second, 50 metrics ÷ 3',
    unit: '',
    figure: (figures) => figures.ratio('metrics_50_of_3'),
    atLeast: 0.8
  },
  {
    group: 'metrics',
    title: '250 metrics, with limits and 1,000 overrides ÷ without limits',
    unit: '',
    figure: (figures) => figures.ratio('metrics_limits'),
    atLeast: 0.9
  }
]

const heap = (view: string, title: string): Requirement => ({
  group: 'page',
  title: `Heap of a tab with ${title}, growth from a third of the time to its end`,
  unit: '%',
  figure: (figures) => figures.median(`page_heap_${view}`, heapGrowth),
  atMost: 10
})

const PAGE: readonly Requirement[] = [
  {
    group: 'page',
    title: 'Open pages at 10,000 points/s, share of the processors',
    unit: '%',
    figure: (figures) => figures.median('page_tabs', processorShare) - figures.median('page_none', processorShare),
    atMost: 5
  },
  {
    group: 'page',
    title: '200 readers of /feed that never read, memory of a worker',
    unit: 'MB',
    figure: (figures) => figures.median('page_silent', largestMb((kind) => kind === 'worker')) -
      figures.median('page_none', largestMb((kind) => kind === 'worker')),
    atMost: 50
  },
  {
    group: 'page',
    title: 'Frames per second of one page, 1,000 satellites at 10,000 points/s',
    unit: '',
    figure: (figures) => figures.median('page_frames', ({ rate }) => rate),
    atLeast: 30
  },
  heap('fleet', 'the fleet'),
  heap('satellite', 'a satellite')
]

/** The rate includes the encryption of the load, which shares the processors with the server; its own cost does not. */
const TLS_SHARE_MIN = 0.85

const ACCESS: readonly Requirement[] = [
  ...ENGINES.flatMap((engine): Requirement[] => [
    {
      group: 'access',
      title: `JSON, 1000 a request, over TLS ÷ without, ${engine}`,
      unit: '',
      figure: (figures) => figures.ratio(`access_tls_${engine}`),
      atLeast: TLS_SHARE_MIN
    },
    {
      group: 'access',
      title: `The same, by the server's processor time a point, ${engine}`,
      unit: '',
      figure: (figures) => 1 / figures.ratio(`access_tls_cost_${engine}`),
      atLeast: TLS_SHARE_MIN
    },
    {
      group: 'access',
      title: `An upload of 8 MB with a wrong token, processor time of one with a right one, ${engine}`,
      unit: '%',
      figure: (figures) => figures.median(`access_upload_wrong_${engine}`, secondsPerUpload) /
        figures.median(`access_upload_right_${engine}`, secondsPerUpload) * 100,
      atMost: 1
    },
    {
      group: 'access',
      title: `202 at 1,000 requests/s beside slow connections and silent readers, p99, ${engine}`,
      unit: 'ms',
      figure: (figures) => figures.median(`access_attacked_${engine}`, P99),
      atMost: 100
    },
    {
      group: 'access',
      title: `The largest process of the program beside them, ${engine}`,
      unit: 'MB',
      figure: (figures) => figures.median(`access_attacked_${engine}`, largestMb(isProgram)),
      atMost: 500
    }
  ])
]

const REQUIREMENTS = [...API, ...METRICS, ...PAGE, ...ACCESS]

/** One for each requirement of the groups that ran. */
export function requirementVerdicts (
  measurements: readonly Measurement[], ratios: readonly Ratio[], { groups }: Pick<Plan, 'groups'>
): Verdict[] {
  const figures = new Figures(measurements, ratios)
  return REQUIREMENTS.filter(({ group }) => groups.includes(group)).map((requirement) => {
    const { title, unit, atMost = Infinity, atLeast = -Infinity } = requirement
    const measured = requirement.figure(figures)
    if (Number.isNaN(measured)) return { title, passed: false, detail: 'was not measured' }
    const text = (value: number): string => `${Number(value.toFixed(2))} ${unit}`.trim()
    const bound = atMost < Infinity ? `at most ${text(atMost)}` : `at least ${text(atLeast)}`
    return { title, passed: measured <= atMost && measured >= atLeast, detail: `${text(measured)}; ${bound}` }
  })
}
