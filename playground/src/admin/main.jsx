import { createRoot } from 'react-dom/client';
import 'uplot/dist/uPlot.min.css';
import '../trace/index.js';
import './admin.css';
import './tables.css';
import './screens.css';
import './flame.css';
import { App } from './App.jsx';

createRoot(document.getElementById('root')).render(<App />);
