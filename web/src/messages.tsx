// The messages on show, and what can be done with each.

import type { ComponentChildren } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { useCell } from './cell'
import { Icon } from './icons'
import { Markdown } from './markdown'
import { CopyButton, fit, IconButton, isSending, useSession } from './parts'
import { isEmpty, type Run } from './session'
import { type Call, type Conversation, type Message, openCalls, path, siblings, type Trouble } from './tree'
import { running, seconds, short, whole } from './words'

interface ListProps {
  conversation: Conversation
  editing: string | undefined
  onEdit: (id: string | undefined) => void
  onPreferences: () => void
}

export function Messages({ conversation, editing, onEdit, onPreferences }: ListProps) {
  const session = useSession()
  const run = useCell(session.runs).get(conversation.id)
  const shown = path(conversation)
  const last = shown.at(-1)
  const open = run ? undefined : openCalls(conversation)
  return (
    <ol class="messages" aria-label="Messages">
      {shown.map((m) => (
        <li key={m.id}>
          {m.role === 'user' && <Asked message={m} last={m === last} editing={editing === m.id} onEdit={onEdit} />}
          {m.role === 'tool' && <Result message={m} call={callOf(shown, m)} />}
          {m.role === 'assistant' &&
            (run && m === last ? <Writing run={run} /> : <Answer message={m} last={m === last} onPreferences={onPreferences} />)}
        </li>
      ))}
      {open && (
        <li>
          <Results key={open.answer.id} calls={open.calls} />
        </li>
      )}
    </ol>
  )
}

const callOf = (shown: Message[], result: Message) => shown.flatMap((m) => m.calls ?? []).find((c) => c.id === result.callId)

interface AskedProps {
  message: Message
  last: boolean
  editing: boolean
  onEdit: (id: string | undefined) => void
}

function Asked({ message, last, editing, onEdit }: AskedProps) {
  const session = useSession()
  if (editing) return <Editing message={message} onDone={() => onEdit(undefined)} />
  return (
    <article class="asked" aria-label="You">
      <div class="bubble">{message.text}</div>
      <Actions message={message} last={last}>
        <CopyButton text={message.text} what="message" />
        <WhenQuiet>
          <IconButton icon="edit" label="Edit message" onClick={() => onEdit(message.id)} />
          {last && <IconButton icon="retry" label="Answer this" onClick={() => void session.retry(message)} />}
        </WhenQuiet>
      </Actions>
    </article>
  )
}

function Editing({ message, onDone }: { message: Message; onDone: () => void }) {
  const session = useSession()
  const area = useRef<HTMLTextAreaElement>(null)
  useLayoutEffect(() => {
    fit(area.current)
    area.current!.focus()
    area.current!.setSelectionRange(message.text.length, message.text.length)
  }, [])
  const send = () => {
    void session.edit(message, area.current!.value)
    onDone()
  }
  return (
    <form class="editing" aria-label="Edit message" onSubmit={(event) => (event.preventDefault(), send())}>
      <textarea
        ref={area}
        aria-label="Message"
        defaultValue={message.text}
        onInput={() => fit(area.current)}
        onKeyDown={(event) => {
          if (isSending(event)) (event.preventDefault(), send())
          if (event.key === 'Escape') (event.stopPropagation(), onDone())
        }}
      />
      <div class="buttons">
        <p class="hint">What was said before is kept as another version.</p>
        <button type="button" onClick={onDone}>
          Cancel
        </button>
        <button type="submit" class="first">
          Send
        </button>
      </div>
    </form>
  )
}

/** An answer that is being written. */
function Writing({ run }: { run: Run }) {
  const draft = useCell(run.draft)
  return (
    <article class="answer" aria-label="Answer" aria-busy="true">
      <Thinking message={draft} writing />
      {draft.text && <Markdown text={draft.text} />}
      {draft.calls?.map((call, i) => <CallCard key={i} call={call} />)}
      {isEmpty(draft) && <Reading run={run} />}
    </article>
  )
}

/** What is shown before the first token. */
function Reading({ run }: { run: Run }) {
  const progress = useCell(run.reading)
  const waiting = (useCell(useSession().watched).seconds.at(-1)?.waiting ?? 0) > 0
  const elapsed = useElapsed(run.began)
  const known = progress && progress.total > 0
  return (
    <div class="reading">
      <span class="swell" aria-hidden="true" />
      <span>
        {waiting && !known ? 'Waiting for a place, or reading' : 'Reading'}
        {known && ` ${whole(progress.done)} of ${whole(progress.total)} tokens`} · {running(elapsed)}
      </span>
      {known && <progress max={progress.total} value={progress.done} aria-label="Prompt read" />}
    </div>
  )
}

function useElapsed(since: number): number {
  const [now, setNow] = useState(performance.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 100)
    return () => clearInterval(timer)
  }, [])
  return Math.max(0, now - since)
}

interface AnswerProps {
  message: Message
  last: boolean
  onPreferences: () => void
}

function Answer({ message, last, onPreferences }: AnswerProps) {
  const session = useSession()
  const early = message.end === 'length' || message.end === 'stopped' || message.end === 'broken'
  const resumable = early && last && message.text !== '' && !message.calls?.length
  return (
    <article class="answer" aria-label="Answer">
      <Thinking message={message} />
      {message.text && <Markdown text={message.text} />}
      {message.calls?.map((call, i) => <CallCard key={i} call={call} />)}
      <Ending message={message} />
      {message.trouble && <TroubleBox trouble={message.trouble} onPreferences={onPreferences} />}
      <Actions message={message} last={last}>
        {message.text && <CopyButton text={message.text} what="answer" />}
        <WhenQuiet>
          <IconButton icon="retry" label="Try again" onClick={() => void session.retry(message)} />
          <IconButton icon="branch" label="Branch into a new conversation" onClick={() => void session.branch(message)} />
          {resumable && (
            <button type="button" class="small" onClick={() => void session.continue(message)}>
              Continue
            </button>
          )}
        </WhenQuiet>
        <Took message={message} />
      </Actions>
    </article>
  )
}

const endings: Record<string, string> = {
  length: 'Ended at the limit of tokens.',
  stopped: 'Stopped.',
  content_filter: 'Ended by a filter of the server.',
  open: 'Being written elsewhere.',
}

function Ending({ message }: { message: Message }) {
  const words = endings[message.end ?? '']
  return words ? <p class="ending">{words}</p> : null
}

/** A time too short to make a speed of. */
const leastMs = 50

/** What the answer took, in one line. */
function Took({ message: { measure, end } }: { message: Message }) {
  if (!measure || measure.completion === undefined || end === 'open') return null
  const writing = measure.totalMs - (measure.firstMs ?? 0)
  const facts = [`${whole(measure.completion)} tokens`]
  if (measure.completion > 1 && writing > leastMs) facts.push(`${short(((measure.completion - 1) * 1000) / writing)} a second`)
  if (measure.firstMs !== undefined) facts.push(`first after ${seconds(measure.firstMs)}`)
  const prompt = measure.prompt !== undefined && `Prompt: ${whole(measure.prompt)} tokens, ${whole(measure.cached ?? 0)} of them from the cache`
  return (
    <span class="took" title={prompt || undefined}>
      {facts.join(' · ')}
      {!!measure.cached && ` · ${whole(measure.cached)} of ${whole(measure.prompt ?? 0)} cached`}
    </span>
  )
}

/** What the model thought: folded, with its last line to be seen while it is written. */
function Thinking({ message, writing }: { message: Message; writing?: boolean }) {
  const [open, setOpen] = useState(false)
  if (!message.thinking) return null
  const now = writing && !message.text && !message.calls?.length
  const lastLine = message.thinking.trimEnd().slice(-200).split('\n').at(-1)
  return (
    <details class={now ? 'thinking now' : 'thinking'} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <Icon name="next" />
        <span>{now ? 'Thinking' : `Thought for ${seconds(message.thinkingMs ?? 0)}`}</span>
        {now && !open && (
          <span class="last-line" aria-hidden="true">
            <span>{lastLine}</span>
          </span>
        )}
      </summary>
      {open && <Markdown text={message.thinking} />}
    </details>
  )
}

function CallCard({ call }: { call: Call }) {
  return (
    <details class="call" open>
      <summary>
        <Icon name="tool" /> Calls <code>{call.name || '…'}</code>
      </summary>
      <pre tabIndex={0}>{pretty(call.arguments)}</pre>
    </details>
  )
}

/** JSON with line breaks, or the text as it is while it is no JSON yet. */
function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2)
  } catch {
    return json
  }
}

function Result({ message, call }: { message: Message; call: Call | undefined }) {
  return (
    <details class="call result" open={message.text.length < 400}>
      <summary>
        <Icon name="done" /> Result of <code>{call?.name ?? 'a call'}</code>
      </summary>
      <pre tabIndex={0}>{message.text}</pre>
    </details>
  )
}

/** The page runs no tools: the reader says what they gave. */
function Results({ calls }: { calls: Call[] }) {
  const session = useSession()
  const form = useRef<HTMLFormElement>(null)
  const give = (event: Event) => {
    event.preventDefault()
    const given = Array.from(form.current!.querySelectorAll('textarea'), (area) => area.value)
    void session.giveResults(calls, given)
  }
  return (
    <form ref={form} class="results" aria-label="Results of the calls" onSubmit={give}>
      <p class="hint">This page runs no tools. Enter what {calls.length === 1 ? 'the call gives' : 'each call gives'}, and the model goes on.</p>
      {calls.map((call) => (
        <label key={call.id}>
          <span>
            Result of <code>{call.name}</code>
          </span>
          <textarea rows={2} spellcheck={false} onInput={(event) => fit(event.currentTarget)} />
        </label>
      ))}
      <div class="buttons">
        <button type="submit" class="first">
          Give {calls.length === 1 ? 'result' : 'results'}
        </button>
      </div>
    </form>
  )
}

export function TroubleBox({ trouble, onPreferences }: { trouble: Trouble; onPreferences: () => void }) {
  return (
    <div class="trouble" role="alert">
      <p>
        <strong>{trouble.what}</strong> {trouble.help}
      </p>
      {trouble.key && (
        <button type="button" class="small" onClick={onPreferences}>
          Enter a key
        </button>
      )}
    </div>
  )
}

function Actions({ message, last, children }: { message: Message; last: boolean; children: ComponentChildren }) {
  return (
    <div class={last ? 'actions last' : 'actions'}>
      <Versions message={message} />
      {children}
    </div>
  )
}

/** Its children, while no answer is being written. */
function WhenQuiet({ children }: { children: ComponentChildren }) {
  const session = useSession()
  const conversation = useCell(session.current)
  const busy = useCell(session.runs).has(conversation.id)
  return busy ? null : <>{children}</>
}

/** Which of several versions this is, with a way to the others. */
function Versions({ message }: { message: Message }) {
  const session = useSession()
  const conversation = useCell(session.current)
  const busy = useCell(session.runs).has(conversation.id)
  const all = siblings(conversation, message)
  if (all.length < 2 || busy) return null
  const at = all.findIndex((m) => m.id === message.id)
  return (
    <span class="versions" role="group" aria-label="Versions">
      <IconButton icon="back" label="Version before" disabled={at === 0} onClick={() => void session.show(all[at - 1]!)} />
      <span>
        {at + 1} / {all.length}
      </span>
      <IconButton icon="next" label="Version after" disabled={at === all.length - 1} onClick={() => void session.show(all[at + 1]!)} />
    </span>
  )
}
