// Renders the dashboard in `previewDashboard`; the state of each panel is in `previewReport`.
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { createTheme, dateMath, dateTime, ThemeContext, TimeRange } from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import { DashboardContext, DashboardState } from './context';
import { registerTransformations } from './fields';
import { Panel } from './Panel';
import { runAnnotation } from './prometheus';
import { report } from './report';
import { interpolate, loadVariables } from './variables';

const COLUMNS = 24;
const GAP = 8;
const ROW = 30;
const MARGIN = 16;

const parameters = new URLSearchParams(location.search);
const theme = createTheme({ colors: { mode: 'dark' } });

function timeRange(dashboard: any): TimeRange {
  const at = (name: 'from' | 'to') =>
    parameters.has(name) ? dateTime(Number(parameters.get(name))) : dateMath.parse(dashboard.time[name])!;
  return { from: at('from'), to: at('to'), raw: dashboard.time };
}

async function loadState(dashboard: any): Promise<DashboardState> {
  const range = timeRange(dashboard);
  const definitions = dashboard.templating.list.map((one: any) => {
    const given = parameters.get(`var-${one.name}`);
    return given === null ? one : { ...one, current: { text: given, value: one.multi ? given.split(',') : given } };
  });
  const variables = await loadVariables(definitions, range);
  // Without a stored value, Grafana selects the first one.
  dashboard.templating.list = definitions.map((one: any) =>
    one.current ? one : { ...one, current: { text: variables[one.name].value, value: variables[one.name].value } }
  );
  const enabled = dashboard.annotations.list.filter((one: any) => one.enable && one.expr);
  const annotations = await Promise.all(enabled.map((one: any) => runAnnotation(one, range, variables)));
  const scrapeMs = Number(parameters.get('scrapeMs') ?? 15000);
  return { range, variables, annotations: annotations.flat(), theme, scrapeMs };
}

function Header({ dashboard }: { dashboard: any }) {
  const shown = dashboard.templating.list.filter((one: any) => one.hide !== 2);
  const box = { border: `1px solid ${theme.colors.border.medium}`, padding: '5px 8px' };
  return (
    <div style={{ display: 'flex', gap: GAP, alignItems: 'center', height: 32, marginBottom: 12 }}>
      <b>{dashboard.title}</b>
      {shown.map((one: any) => (
        <span key={one.name} style={{ fontSize: 12 }}>
          <span style={{ background: theme.colors.background.secondary, padding: '6px 8px' }}>{one.label ?? one.name}</span>
          <span style={box}>{String(one.current?.text ?? '')}</span>
        </span>
      ))}
      <span style={{ marginLeft: 'auto', fontSize: 12 }}>preview rendered with Grafana's UI components</span>
    </div>
  );
}

function Dashboard({ dashboard }: { dashboard: any }) {
  const [state, setState] = useState<DashboardState | null>(null);
  useEffect(() => {
    loadState(dashboard)
      .then(setState)
      .catch((error: unknown) => {
        report.dashboard = { title: dashboard.title, type: 'dashboard', status: 'error', error: String(error) };
      });
  }, []);
  if (!state) {
    return null;
  }
  const column = (window.innerWidth - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS;
  const panelWidth = (columns: number) => columns * column + (columns - 1) * GAP;
  const panelHeight = (rows: number) => rows * ROW + (rows - 1) * GAP;
  const bottom = Math.max(...dashboard.panels.map((panel: any) => panel.gridPos.y + panel.gridPos.h));
  return (
    <DashboardContext.Provider value={state}>
      <div
        id="dashboard"
        style={{
          padding: MARGIN,
          background: theme.colors.background.canvas,
          color: theme.colors.text.primary,
          fontFamily: theme.typography.fontFamily,
          fontSize: 14,
        }}
      >
        <Header dashboard={dashboard} />
        <div style={{ position: 'relative', height: bottom * (ROW + GAP) }}>
          {dashboard.panels.map((panel: any) => {
            const { x, y, w, h } = panel.gridPos;
            const place = { left: x * (column + GAP), top: y * (ROW + GAP), width: panelWidth(w), height: panelHeight(h) };
            return (
              <div key={panel.id} data-panel={interpolate(panel.title ?? '', state.variables)} style={{ position: 'absolute', ...place }}>
                {panel.type === 'row' ? (
                  <div style={{ fontSize: 18, fontWeight: 500, padding: '4px 0' }}>
                    ⌄ {interpolate(panel.title, state.variables)}
                  </div>
                ) : (
                  <Panel panel={panel} width={place.width} height={place.height} />
                )}
              </div>
            );
          })}
        </div>
      </div>
    </DashboardContext.Provider>
  );
}

async function main() {
  await initPluginTranslations('grafana');
  registerTransformations();
  const dashboard = window.previewDashboard;
  window.previewExpected = dashboard.panels.filter((panel: any) => panel.type !== 'row').length;
  createRoot(document.getElementById('root')!).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles {...({} as any)} />
      <Dashboard dashboard={dashboard} />
      <PortalContainer />
    </ThemeContext.Provider>
  );
}

main();
