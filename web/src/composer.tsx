// The field in which a message is written, with what is changed most often beside it.

import type { RefObject } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { useCell } from './cell'
import { efforts, faults } from './controls'
import { Icon } from './icons'
import { fit, IconButton, isSending, useSession } from './parts'
import { path } from './tree'
import { percent, whole } from './words'

interface Props {
  field: RefObject<HTMLTextAreaElement | null>
  onEditLast: () => void
  onControls: () => void
  /** Moves the conversation up or down by a page. */
  onPage: (by: number) => void
}

export function Composer({ field, onEditLast, onControls, onPage }: Props) {
  const session = useSession()
  const { id, controls } = useCell(session.current)
  const busy = useCell(session.runs).has(id)
  const [text, setText] = useText(id)
  useEffect(() => fit(field.current), [text])
  const send = () => {
    if (busy || text.trim() === '') return
    setText('')
    void session.send(text)
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (isSending(event)) (event.preventDefault(), send())
    else if (event.key === 'ArrowUp' && text === '' && !event.altKey) (event.preventDefault(), onEditLast())
    else if (event.key === 'PageUp' || event.key === 'PageDown') (event.preventDefault(), onPage(event.key === 'PageUp' ? -1 : 1))
  }
  const wrong = Object.keys(faults(controls)).length > 0
  return (
    <form class="composer" aria-label="Write" onSubmit={(event) => (event.preventDefault(), send())}>
      <textarea
        ref={field}
        rows={1}
        aria-label="Message"
        placeholder="Ask or tell"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <div class="composer-foot">
        <ModelChoice />
        <label class="choice">
          <span>Thinking</span>
          <select value={controls.effort} onChange={(event) => session.setControls({ effort: event.currentTarget.value })}>
            {efforts.map((e) => (
              <option key={e.value} value={e.value}>
                {e.name}
              </option>
            ))}
          </select>
        </label>
        <IconButton icon="sliders" label="Prompt and sampling" class={wrong ? 'wrong' : ''} onClick={onControls} />
        <span class="space" />
        <ContextUsed />
        {busy ? (
          <button type="button" class="go stop" aria-label="Stop" title="Stop (Esc)" onClick={() => (session.stop(), field.current?.focus())}>
            <Icon name="stop" />
          </button>
        ) : (
          <button type="submit" class="go" aria-label="Send" title="Send (Enter)" disabled={text.trim() === ''}>
            <Icon name="send" />
          </button>
        )}
      </div>
    </form>
  )
}

/** What has been written but not sent, for each conversation, while the page is open. */
function useText(id: string): [string, (text: string) => void] {
  const [texts, setTexts] = useState<Record<string, string>>({})
  return [texts[id] ?? '', (text) => setTexts((before) => ({ ...before, [id]: text }))]
}

/** Where the server has several models, which one answers. */
function ModelChoice() {
  const session = useSession()
  const known = useCell(session.models) ?? []
  useCell(session.preferences)
  if (known.length < 2) return null
  return (
    <label class="choice">
      <span>Model</span>
      <select value={session.model} onChange={(event) => session.prefer({ model: event.currentTarget.value })}>
        {known.map((m) => (
          <option key={m.id}>{m.id}</option>
        ))}
      </select>
    </label>
  )
}

/** How much of what the model can read the conversation takes, as the server counted it last. */
function ContextUsed() {
  const session = useSession()
  const conversation = useCell(session.current)
  const limit = useCell(session.models)?.find((m) => m.id === session.model)?.max_model_len
  const measure = path(conversation).findLast((m) => m.measure?.prompt !== undefined)?.measure
  if (!limit || !measure) return null
  const used = measure.prompt! + (measure.completion ?? 0)
  return (
    <span class={used > 0.8 * limit ? 'used much' : 'used'} title={`${whole(used)} of ${whole(limit)} tokens`}>
      {percent(used, limit)} of context
    </span>
  )
}
