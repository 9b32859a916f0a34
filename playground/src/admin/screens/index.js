import { Cpu } from './Cpu.jsx';
import { Database } from './Database.jsx';
import { Operations } from './Operations.jsx';
import { Runtime } from './Runtime.jsx';
import { Settings } from './Settings.jsx';
import { Subscriptions } from './Subscriptions.jsx';
import { Tasks } from './Tasks.jsx';
import { Telemetry } from './Telemetry.jsx';
import { Trace } from './Trace.jsx';

export const screens = [
  { name: 'operations', title: 'Operations', Screen: Operations },
  { name: 'runtime', title: 'Runtime', Screen: Runtime },
  { name: 'tasks', title: 'Tasks', Screen: Tasks },
  { name: 'cpu', title: 'CPU', Screen: Cpu },
  { name: 'database', title: 'Database', Screen: Database },
  { name: 'subscriptions', title: 'Subscriptions', Screen: Subscriptions },
  { name: 'telemetry', title: 'Telemetry', Screen: Telemetry },
  { name: 'settings', title: 'Settings', Screen: Settings },
  { name: 'traces', title: 'Trace', Screen: Trace, isHidden: true, parent: 'operations' },
];
