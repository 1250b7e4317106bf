/** Asks for a token, once, where the server wants one. */
import type { JSX, TargetedSubmitEvent } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { usePage } from '../parts/use-page.js'

export function TokenDialog (): JSX.Element | null {
  const { token } = usePage()
  const dialog = useRef<HTMLDialogElement>(null)
  const asked = token.question !== null
  useEffect(() => {
    if (asked) dialog.current?.showModal()
    else dialog.current?.close()
  }, [asked])

  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault()
    const given = new FormData(event.currentTarget).get('token')
    if (typeof given === 'string' && given.trim() !== '') token.give(given.trim())
  }
  return (
    <dialog
      ref={dialog} aria-labelledby='token-title' onCancel={(event) => event.preventDefault()}
      // Browsers let it be prevented only once.
      onClose={() => { if (token.question !== null) dialog.current?.showModal() }}
    >
      <h1 id='token-title'>This server needs a token</h1>
      {asked && (
        <form onSubmit={submit}>
          <p class='muted'>{token.question}</p>
          <label>
            Token with the role read (and operate, to change limits)
            <input
              name='token' type='password' autocomplete='off' spellcheck={false} required autoFocus
              pattern='[!-~]+' title='printable ASCII without spaces'
            />
          </label>
          <p class='muted small'>It is kept in this tab until you close it.</p>
          <div class='buttons'><button class='primary' type='submit'>Continue</button></div>
        </form>
      )}
    </dialog>
  )
}
