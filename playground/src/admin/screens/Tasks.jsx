import { useMemo, useState } from 'react';
import { count } from '../../trace/format.js';
import { Filter, Heading, Loading, Problem, Refresh } from '../parts.jsx';
import { useResource } from '../useResource.js';
import { groupTasks, matches } from './taskGroups.js';
import { TaskGroup } from './TaskGroup.jsx';

const hint = {
  409: 'Another dump is being made: try again.',
  501: 'Task dumps need Linux and a build with tokio_unstable.',
};

function Groups({ tasks, others, filter }) {
  const shown = useMemo(() => tasks.filter((task) => matches(task, filter)), [tasks, filter]);
  const groups = useMemo(() => groupTasks(shown), [shown]);
  const total = shown.length === tasks.length ? '' : ` of ${tasks.length}`;
  return (
    <>
      <p role="status" className="muted">
        {count(shown.length, 'task')}{total} in {count(groups.length, 'place')}; {count(others, 'task')} of libraries are
        not listed.
      </p>
      {groups.map((group) => <TaskGroup key={group.key} group={group} />)}
    </>
  );
}

export function Tasks() {
  const [filter, setFilter] = useState('');
  const resource = useResource('tasks');
  return (
    <>
      <Heading>Tasks</Heading>
      <div className="controls">
        <Filter label="Filter" value={filter} onChange={setFilter} />
        <Refresh resource={resource} isExclusive />
        {resource.isLoading && resource.data && <span role="status">Loading…</span>}
      </div>
      <Problem error={resource.error} hint={hint} />
      <Loading resource={resource} />
      {resource.data && <Groups tasks={resource.data.tasks} others={resource.data.others} filter={filter} />}
    </>
  );
}
