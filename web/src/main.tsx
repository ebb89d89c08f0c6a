import { render } from 'preact'
import { App } from './app'
import { SessionContext } from './parts'
import { Session } from './session'

const session = new Session()
render(
  <SessionContext.Provider value={session}>
    <App />
  </SessionContext.Provider>,
  document.body,
)
// A page that nobody sees asks for nothing.
document.addEventListener('visibilitychange', () => (document.hidden ? session.stopWatching() : session.startWatching()))
window.addEventListener('hashchange', () => void (location.hash ? session.open(location.hash.slice(1)) : session.begin()))
void session.start()
