// The dialogs: preferences, and the keyboard.

import { useRef, useState } from 'preact/hooks'
import { useCell } from './cell'
import { Icon } from './icons'
import { shortcuts } from './keys'
import type { Preferences as Chosen } from './keep'
import { Dialog, download, useSession } from './parts'

const themes: { value: Chosen['theme']; name: string }[] = [
  { value: 'auto', name: 'As the system' },
  { value: 'light', name: 'Light' },
  { value: 'dark', name: 'Dark' },
]

export function Preferences({ onClose }: { onClose: () => void }) {
  const session = useSession()
  const { theme, key } = useCell(session.preferences)
  const [typed, setTyped] = useState(key)
  const trouble = useCell(session.trouble)
  const models = useCell(session.models)
  const connect = (event: Event) => {
    event.preventDefault()
    session.prefer({ key: typed.trim() })
    void session.connect()
  }
  return (
    <Dialog title="Preferences" onClose={onClose}>
      <fieldset class="segments">
        <legend>Colours</legend>
        {themes.map((t) => (
          <label key={t.value}>
            <input type="radio" name="theme" checked={theme === t.value} onChange={() => session.prefer({ theme: t.value })} />
            <span>{t.name}</span>
          </label>
        ))}
      </fieldset>
      <form class="key" onSubmit={connect}>
        <label class="field tall">
          <span>API key</span>
          <input type="password" autocomplete="off" value={typed} placeholder="None" onInput={(event) => setTyped(event.currentTarget.value)} />
        </label>
        <button type="submit">Use</button>
        <p class="hint" role="status">
          {trouble ? `${trouble.what} ${trouble.help ?? ''}` : models ? `Connected: ${models.map((m) => m.id).join(', ')}.` : 'Connecting …'} The key stays in this
          browser and is sent to this server only.
        </p>
      </form>
      <Data onClose={onClose} />
    </Dialog>
  )
}

function Data({ onClose }: { onClose: () => void }) {
  const session = useSession()
  const file = useRef<HTMLInputElement>(null)
  const [sure, setSure] = useState(false)
  const count = useCell(session.heads).length
  const save = async () => download('baleen-conversations.json', await session.exported())
  const read = async () => {
    const chosen = file.current!.files![0]
    if (chosen) await session.import(await chosen.text())
    onClose()
  }
  return (
    <section class="data">
      <h3>Conversations in this browser: {count}</h3>
      <div class="buttons">
        <button type="button" disabled={count === 0} onClick={() => void save()}>
          <Icon name="export" /> Export all
        </button>
        <button type="button" onClick={() => file.current!.click()}>
          <Icon name="import" /> Import
        </button>
        <input ref={file} type="file" accept=".json,application/json" hidden aria-label="File to import" onChange={() => void read()} />
        <button type="button" class="danger" disabled={count === 0} onClick={() => (sure ? (void session.removeAll(), onClose()) : setSure(true))}>
          <Icon name="delete" /> {sure ? `Delete ${count}: sure?` : 'Delete all'}
        </button>
      </div>
    </section>
  )
}

export function Keys({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <table class="keys">
        <caption class="unseen">Keys and what they do</caption>
        <tbody>
          {shortcuts.map((s) => (
            <tr key={s.name}>
              <th scope="row">{s.name}</th>
              <td>{s.keys}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Dialog>
  )
}
