import 'uplot/dist/uPlot.min.css'
import './styles/theme.css'
import './styles/shell.css'
import './styles/fleet.css'
import './styles/views.css'
import { render } from 'preact'
import { PageModel } from './live/page-model.js'
import { App } from './views/app.js'

const root = document.getElementById('app')
if (root === null) throw new Error('index.html has no #app')
root.replaceChildren()
render(<App page={new PageModel()} />, root)
