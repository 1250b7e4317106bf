/** Answers clients' questions that workers pass on: one table with a function for each kind. */
import { OperatingError } from '../../support/errors.js'
import type { StatusAnswer } from '../../ingress/http/api/status-port.js'
import type { Log } from '../../support/log.js'
import { errorAnswer } from '../../ingress/http/engines/answers.js'
import type { Question } from '../../messages/messages.js'

export type Answers = {
  readonly [Kind in Question['kind']]: (question: Extract<Question, { readonly kind: Kind }>) => Promise<StatusAnswer>
}

/** Never rejects: a failure becomes an error answer. */
export async function answerQuestion (answers: Answers, question: Question, log: Log): Promise<StatusAnswer> {
  try {
    // The table's type guarantees that function and question match; the compiler cannot track it through the look-up.
    return await (answers[question.kind] as (question: Question) => Promise<StatusAnswer>)(question)
  } catch (error) {
    if (error instanceof OperatingError) return errorAnswer(error.code, { message: error.message })
    log.error({ err: error, question: question.kind }, 'a question could not be answered')
    return errorAnswer('internal')
  }
}
