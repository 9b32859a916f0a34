// What a dashboard of ours may be, in Grafana's own types: those of its dashboards and panels from
// @grafana/schema, those of queries, which are not there, from its Foundation SDK.

import type {
  Dashboard as Any, FieldConfig, FieldConfigSource, Panel, RowPanel, VariableModel,
} from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen';
import type * as heatmaps from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as logPanels from '@grafana/schema/dist/esm/raw/composable/logs/panelcfg/x/LogsPanelCfg_types.gen';
import type * as stats from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as tables from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as graphs from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type { dataquery as Logs } from '@grafana/grafana-foundation-sdk/loki';
import type { Dataquery as Metrics } from '@grafana/grafana-foundation-sdk/prometheus';
import type { Dataquery as Traces } from '@grafana/grafana-foundation-sdk/tempo';

type Refined<Type, Options, Custom, Target> =
  Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
    type: Type;
    options: Options;
    fieldConfig: Omit<FieldConfigSource, 'defaults'> & {
      defaults: Omit<FieldConfig, 'custom'> & { custom?: Custom };
    };
    targets: Target[];
  };

interface Nothing {}

export type TimeSeriesPanel = Refined<'timeseries', graphs.Options, graphs.FieldConfig, Metrics>;
export type StatPanel = Refined<'stat', stats.Options, Nothing, Metrics>;
export type HeatmapPanel = Refined<'heatmap', heatmaps.Options, heatmaps.FieldConfig, Metrics>;
export type TablePanel = Refined<'table', tables.Options, Partial<tables.FieldConfig>, Metrics | Traces>;
export type LogsPanel = Refined<'logs', logPanels.Options, Nothing, Logs>;
export type Row = Omit<RowPanel, 'panels'> & { panels: [] };

/** Its panels are looked at one by one. */
export type Dashboard = Omit<Any, 'panels' | 'templating'> & {
  panels: object[];
  templating: { list: VariableModel[] };
};
