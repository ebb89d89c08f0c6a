// The form of a conversation's system prompt and sampling.

import { useId } from 'preact/hooks'
import { useCell } from './cell'
import { type Controls, efforts, emptyControls, faults } from './controls'
import { useSession } from './parts'

interface Field {
  key: keyof Controls
  name: string
  hint: string
  placeholder: string
}

const sampling: Field[] = [
  { key: 'temperature', name: 'Temperature', hint: '0 takes the likeliest token each time; 1 is the model’s own spread.', placeholder: '0 – 2' },
  { key: 'topP', name: 'Top p', hint: 'Keeps the likeliest tokens that together have this share.', placeholder: '0 – 1' },
  { key: 'maxTokens', name: 'Most tokens', hint: 'The answer ends here at the latest, thinking included.', placeholder: 'no limit' },
  { key: 'seed', name: 'Seed', hint: 'The same seed and settings give the same answer.', placeholder: 'at random' },
]

export function Settings() {
  const session = useSession()
  const { controls } = useCell(session.current)
  const wrong = faults(controls)
  const set = (key: keyof Controls) => (text: string) => session.setControls({ [key]: text })
  return (
    <form class="settings" aria-label="Prompt and sampling" onSubmit={(event) => event.preventDefault()}>
      <Area name="System prompt" text={controls.system} rows={5} placeholder="What the model should know and keep to" onText={set('system')} />
      <label class="field">
        <span>Thinking</span>
        <select value={controls.effort} onChange={(event) => set('effort')(event.currentTarget.value)}>
          {efforts.map((e) => (
            <option key={e.value} value={e.value}>
              {e.name}
            </option>
          ))}
        </select>
      </label>
      {sampling.map((f) => (
        <NumberField key={f.key} field={f} text={controls[f.key]} fault={wrong[f.key]} onText={set(f.key)} />
      ))}
      <Area
        name="Tools"
        text={controls.tools}
        rows={3}
        code
        fault={wrong.tools}
        placeholder={'[{"name": "weather", "parameters": {…}}]'}
        hint="JSON: functions that the model may call. You give their results."
        onText={set('tools')}
      />
      <p class="hint">An empty field leaves the choice to the server. These belong to this conversation.</p>
      <div class="buttons">
        <button type="button" onClick={() => session.setControls(emptyControls)}>
          Clear all
        </button>
      </div>
    </form>
  )
}

interface NumberFieldProps {
  field: Field
  text: string
  fault: string | undefined
  onText: (text: string) => void
}

function NumberField({ field, text, fault, onText }: NumberFieldProps) {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>{field.name}</label>
      <input
        id={id}
        inputMode="decimal"
        autocomplete="off"
        value={text}
        placeholder={field.placeholder}
        aria-invalid={fault !== undefined}
        aria-describedby={`${id}-hint`}
        onInput={(event) => onText(event.currentTarget.value)}
      />
      <small id={`${id}-hint`} class={fault ? 'fault' : ''}>
        {fault ?? field.hint}
      </small>
    </div>
  )
}

interface AreaProps {
  name: string
  text: string
  rows: number
  placeholder: string
  hint?: string
  fault?: string
  code?: boolean
  onText: (text: string) => void
}

function Area({ name, text, rows, placeholder, hint, fault, code, onText }: AreaProps) {
  const id = useId()
  return (
    <div class="field tall">
      <label for={id}>{name}</label>
      <textarea
        id={id}
        class={code ? 'mono' : ''}
        rows={rows}
        spellcheck={!code}
        value={text}
        placeholder={placeholder}
        aria-invalid={fault !== undefined}
        aria-describedby={`${id}-hint`}
        onInput={(event) => onText(event.currentTarget.value)}
      />
      <small id={`${id}-hint`} class={fault ? 'fault' : ''}>
        {fault ?? hint}
      </small>
    </div>
  )
}
