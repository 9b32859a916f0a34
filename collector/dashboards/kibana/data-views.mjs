// The data views: one for each kind of document, and one for a trace together with its log lines.

import { dataView, dataViewId, indexPattern } from './saved-objects.mjs';

const link = (urlTemplate) => ({
  id: 'url',
  params: { type: 'a', urlTemplate, labelTemplate: '{{value}}' },
});

const trace = 'colophon-trace';

/** From a trace id to its spans and log lines in Discover, in the order of time. */
const discover = link(
  '/app/discover#/?_g=(time:(from:now-7d,to:now))' +
    `&_a=(dataSource:(dataViewId:${trace},type:dataView),` +
    "columns:!(name,kind,duration,event_name,severity_text,body.text)," +
    "query:(language:kuery,query:'trace_id:%22{{value}}%22'),sort:!(!('@timestamp',asc)))",
);

/** And from there to Kibana's drawing of the trace. */
const waterfall = link('/app/apm/link-to/trace/{{value}}');

const duration = {
  id: 'duration',
  params: {
    inputFormat: 'nanoseconds', outputFormat: 'asMilliseconds', outputPrecision: 1,
    showSuffix: true, useShortSuffix: true, includeSpaceWithSuffix: true,
  },
};

export const dataViews = [
  dataView(dataViewId('traces'), 'Colophon: spans', indexPattern('traces'), { trace_id: discover, duration }),
  dataView(dataViewId('metrics'), 'Colophon: metrics', indexPattern('metrics')),
  dataView(dataViewId('logs'), 'Colophon: log lines', indexPattern('logs'), { trace_id: discover }),
  dataView(trace, 'Colophon: spans and log lines', `${indexPattern('traces')},${indexPattern('logs')}`, {
    trace_id: waterfall,
    duration,
  }),
];
