/**
 * Changes the limits of one metric, based on the version that the user has seen. If somebody else was faster, nothing
 * is lost: the dialog shows what is in force now, keeps what was typed, and asks again.
 */
import type { JSX, TargetedSubmitEvent } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { MetricInfo } from '../../model/catalogue.js'
import {
  CHANGE_WORDS, SEVERITIES, describeLimits, withMetric, type ChangeDirection, type LimitsVersion, type MetricLimits,
  type Severity
} from '../../model/limits.js'
import { STATE_WORDS } from '../../model/state.js'
import type { Answer, Http } from '../../net/http.js'
import { recall, remember } from '../../net/browser-storage.js'
import { usePage } from '../../parts/use-page.js'
import { LIMIT_COLUMNS } from './limit-cells.js'

export interface Edited {
  /** Null: the limits of all satellites; '': of satellites that the user names. */
  readonly key: string | null
  /** '': one that the user chooses. */
  readonly metric: string
  /** Null: none yet. */
  readonly limits: MetricLimits | null
}

interface Props {
  readonly base: LimitsVersion
  readonly edited: Edited
  readonly onClose: () => void
}

interface Change {
  readonly key: string | null
  readonly metric: string
  readonly limits: MetricLimits | null
  readonly name: string
}

/** The name for the history, where no token gives one. */
const NAME_KEY = 'orbitstream-name'
const CONFLICTS: readonly number[] = [409, 412]

export function LimitsDialog ({ base: opened, edited, onClose }: Props): JSX.Element {
  const { http } = usePage()
  const dialog = useRef<HTMLDialogElement>(null)
  const [base, setBase] = useState(opened)
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<string | null>(null)
  useEffect(() => dialog.current?.showModal(), [])

  const save = async (change: Change): Promise<void> => {
    setBusy(true)
    const answer = await put(http, base, change)
    setBusy(false)
    if (answer.ok) {
      dialog.current?.close()
      return
    }
    const current = CONFLICTS.includes(answer.status) ? await http.get<LimitsVersion>('/limits') : null
    if (current?.ok === true) {
      setBase(current.value)
      setProblem(conflictText(base, current.value, change))
    } else setProblem(answer.message)
  }
  return (
    <dialog ref={dialog} aria-labelledby='limits-title' onClose={onClose}>
      <LimitsForm
        edited={edited} problem={problem} busy={busy}
        onCancel={() => dialog.current?.close()} onSave={(change) => { void save(change) }}
      />
    </dialog>
  )
}

async function put (http: Http, { version, limits }: LimitsVersion, change: Change): Promise<Answer<LimitsVersion>> {
  const headers = {
    'if-match': `"${version}"`,
    ...change.name === '' ? {} : { 'x-changed-by': encodeURIComponent(change.name).replaceAll('%20', ' ') }
  }
  return await http.change('PUT', '/limits', withMetric(limits, change.key, change.metric, change.limits), headers)
}

function conflictText (before: LimitsVersion, now: LimitsVersion, { key, metric }: Change): string {
  const [was, is] = [before, now].map(({ limits }) => (
    describeLimits((key === null ? limits.default : limits.overrides[key])?.[metric]) || 'none'
  ))
  const same = was === is ? 'These limits are unchanged' : `Now in force: ${is ?? ''}`
  return `Not saved: ${now.changed_by} made version ${now.version} while you edited ${before.version}. ${same}. ` +
    'Save again to replace them with yours.'
}

interface FormProps {
  readonly edited: Edited
  readonly problem: string | null
  readonly busy: boolean
  readonly onCancel: () => void
  readonly onSave: (change: Change) => void
}

function LimitsForm ({ edited, problem, busy, onCancel, onSave }: FormProps): JSX.Element {
  const { catalogue, metric: find, token } = usePage()
  const { key } = edited
  const isNew = key === ''
  const [metric, setMetric] = useState(isNew ? catalogue[0]?.name ?? '' : edited.metric)
  const info = find(metric)
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault()
    const removes = event.submitter instanceof HTMLButtonElement && event.submitter.value === 'remove'
    const form = new FormData(event.currentTarget)
    const name = textOf(form, 'name')
    remember('session', NAME_KEY, name)
    onSave({
      key: isNew ? textOf(form, 'key') : key,
      metric,
      limits: removes ? null : limitsOf(form, info),
      name
    })
  }
  return (
    <form onSubmit={submit}>
      <h1 id='limits-title'>{isNew ? 'Limits for satellites' : `${info.title}, ${key ?? 'all satellites'}`}</h1>
      {isNew && (
        <>
          <label>
            Satellite id, or a pattern such as SAT-00*
            <input name='key' required maxLength={64} spellcheck={false} autoFocus />
          </label>
          <label>
            Metric
            <select name='metric' value={metric} onChange={(event) => setMetric(event.currentTarget.value)}>
              {catalogue.map(({ name, title }) => <option key={name} value={name}>{title}</option>)}
            </select>
          </label>
        </>
      )}
      {info.states.length === 0
        ? <LimitInputs limits={edited.limits} unit={info.unit} />
        : <StateInputs limits={edited.limits} info={info} key={metric} />}
      <ChangeInputs limits={edited.limits} info={info} key={`change ${metric}`} />
      {!token.isSet && (
        <label>
          Your name, for the history
          <input name='name' maxLength={64} defaultValue={recall('session', NAME_KEY)} autocomplete='name' />
        </label>
      )}
      {problem !== null && <p class='problem' role='alert'>{problem}</p>}
      <div class='buttons'>
        {key !== null && !isNew && (
          <button type='submit' value='remove' formNoValidate disabled={busy}>Remove these limits</button>
        )}
        <button type='button' onClick={onCancel}>Cancel</button>
        <button class='primary' type='submit' disabled={busy}>Save</button>
      </div>
    </form>
  )
}

function LimitInputs ({ limits, unit }: { readonly limits: MetricLimits | null, readonly unit: string }): JSX.Element {
  return (
    <fieldset class='limit-inputs'>
      <legend class='muted small'>Empty: no limit{unit === '' ? '' : `. In ${unit}`}</legend>
      {LIMIT_COLUMNS.map(({ side, severity, title }) => (
        <label key={side + severity}>
          {title}
          <input
            name={`${side} ${severity}`} type='number' step='any' inputMode='decimal'
            defaultValue={String(limits?.[side]?.[severity] ?? '')}
          />
        </label>
      ))}
    </fieldset>
  )
}

/** Which changes of the value are anomalies. */
function ChangeInputs ({ limits, info }: StateInputsProps): JSX.Element {
  const directions = (Object.keys(CHANGE_WORDS) as ChangeDirection[]).slice(0, info.states.length > 0 ? 1 : undefined)
  return (
    <fieldset class='limit-inputs'>
      <legend class='muted small'>Changes that are anomalies</legend>
      {SEVERITIES.map((severity) => (
        <label key={severity}>
          {STATE_WORDS[severity]}
          <select name={`change ${severity}`}>
            <option value=''>No limit</option>
            {directions.map((each) => (
              <option key={each} value={each} selected={limits?.change?.[severity] === each}>
                {CHANGE_WORDS[each]}
              </option>
            ))}
          </select>
        </label>
      ))}
    </fieldset>
  )
}

interface StateInputsProps {
  readonly limits: MetricLimits | null
  readonly info: MetricInfo
}

function StateInputs ({ limits, info }: StateInputsProps): JSX.Element {
  return (
    <fieldset class='limit-inputs'>
      <legend class='muted small'>Values that are anomalies</legend>
      {info.states.map(({ name }) => {
        const isOf = (severity: Severity): boolean => limits?.states?.[severity]?.includes(limitOf(name, info)) === true
        return (
          <label key={name}>
            {name}
            <select name={`state ${name}`}>
              <option value=''>No limit</option>
              {SEVERITIES.map((severity) => (
                <option key={severity} value={severity} selected={isOf(severity)}>{STATE_WORDS[severity]}</option>
              ))}
            </select>
          </label>
        )
      })}
    </fieldset>
  )
}

/** As limits have it. */
function limitOf (name: string, { isBool }: MetricInfo): string | boolean {
  return isBool ? name === 'true' : name
}

function textOf (form: FormData, name: string): string {
  const value = form.get(name)
  return typeof value === 'string' ? value.trim() : ''
}

function limitsOf (form: FormData, info: MetricInfo): MetricLimits {
  const change: { [L in Severity]?: ChangeDirection } = {}
  for (const severity of SEVERITIES) {
    const text = textOf(form, `change ${severity}`)
    if (text !== '') change[severity] = text as ChangeDirection
  }
  const limits = info.states.length > 0 ? stateLimitsOf(form, info) : numberLimitsOf(form)
  return Object.keys(change).length === 0 ? limits : { ...limits, change }
}

function numberLimitsOf (form: FormData): MetricLimits {
  const limits: { low?: Record<string, number>, high?: Record<string, number> } = {}
  for (const { side, severity } of LIMIT_COLUMNS) {
    const text = textOf(form, `${side} ${severity}`)
    if (text !== '') limits[side] = { ...limits[side], [severity]: Number(text) }
  }
  return limits
}

function stateLimitsOf (form: FormData, info: MetricInfo): MetricLimits {
  const states: { [L in Severity]?: Array<string | boolean> } = {}
  for (const severity of SEVERITIES) {
    const names = info.states.map(({ name }) => name).filter((name) => textOf(form, `state ${name}`) === severity)
    if (names.length > 0) states[severity] = names.map((name) => limitOf(name, info))
  }
  return Object.keys(states).length === 0 ? {} : { states }
}
