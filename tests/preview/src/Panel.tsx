// A panel with its queries, transformations and fields, rendered by Grafana's components.
import { useContext, useEffect, useState } from 'react';
import { firstValueFrom } from 'rxjs';
import {
  DataFrame,
  Field,
  FieldType,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  LoadingState,
  transformDataFrame,
  VizOrientation,
} from '@grafana/data';
import { BarGauge, BigValue, PanelChrome, preparePlotFrame, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { DashboardContext, TIME_ZONE } from './context';
import { applyFields, withDefaults } from './fields';
import { AnnotationMarks, Heatmap, StateTimeline, XYChart } from './approximations';
import { alerts, QueryContext, runTarget } from './prometheus';
import { report } from './report';
import { interpolate } from './variables';

interface Loaded {
  state: LoadingState;
  frames?: DataFrame[];
  alerts?: any[];
  error?: string;
}

async function loadFrames(panel: any, context: QueryContext, theme: any): Promise<DataFrame[]> {
  const targets = (panel.targets ?? []).filter((target: any) => !target.hide);
  const tables = targets.filter((target: any) => target.format === 'table').length;
  let frames = (await Promise.all(targets.map((target: any) => runTarget(target, context, tables)))).flat();
  const transformations = (panel.transformations ?? []).filter((one: any) => !one.disabled);
  if (transformations.length) {
    const replace = { interpolate: (text: string) => interpolate(text, context.variables) };
    frames = await firstValueFrom(transformDataFrame(transformations, frames, replace as any));
  }
  panel.fieldConfig = withDefaults(panel);
  return applyFields(frames, panel.fieldConfig, context.variables, theme, TIME_ZONE);
}

export function Panel({ panel, width, height }: { panel: any; width: number; height: number }) {
  const { range, variables, theme, scrapeMs } = useContext(DashboardContext);
  const [loaded, setLoaded] = useState<Loaded>({ state: LoadingState.Loading });

  useEffect(() => {
    const load = async (): Promise<Loaded> => {
      if (panel.type === 'alertlist') {
        return { state: LoadingState.Done, alerts: await alerts() };
      }
      const context = { range, variables, width: panel.maxDataPoints ?? width, scrapeMs, panelInterval: panel.interval };
      return { state: LoadingState.Done, frames: await loadFrames(panel, context, theme) };
    };
    const identity = { title: panel.title, type: panel.type };
    report[panel.id] = { ...identity, status: 'loading' };
    load()
      .then((result) => {
        const filled = result.alerts !== undefined || result.frames!.some((frame) => frame.length > 0);
        report[panel.id] = { ...identity, status: filled ? 'ok' : 'empty' };
        setLoaded(result);
      })
      .catch((error: unknown) => {
        report[panel.id] = { ...identity, status: 'error', error: String(error) };
        setLoaded({ state: LoadingState.Error, error: String(error) });
      });
  }, []);

  return (
    <PanelChrome
      width={width}
      height={height}
      title={interpolate(panel.title ?? '', variables)}
      description={panel.description}
      loadingState={loaded.state}
      statusMessage={loaded.error}
      padding={panel.type === 'table' ? 'none' : 'md'}
    >
      {(innerWidth: number, innerHeight: number) => (
        <Content panel={panel} loaded={loaded} width={innerWidth} height={innerHeight} />
      )}
    </PanelChrome>
  );
}

function Content({ panel, loaded, width, height }: { panel: any; loaded: Loaded; width: number; height: number }) {
  const { theme } = useContext(DashboardContext);
  if (loaded.error) {
    return <div style={{ color: theme.colors.error.text }}>{loaded.error}</div>;
  }
  if (loaded.alerts) {
    return <AlertList list={loaded.alerts} />;
  }
  if (!loaded.frames) {
    return <span />;
  }
  if (!loaded.frames.some((frame) => frame.length > 0) && panel.type !== 'stat') {
    const text = panel.fieldConfig.defaults.noValue ?? 'No data';
    return <div style={{ display: 'grid', placeItems: 'center', height }}>{text}</div>;
  }
  return <Visualisation panel={panel} frames={loaded.frames} width={width} height={height} />;
}

function AlertList({ list }: { list: any[] }) {
  const { theme } = useContext(DashboardContext);
  return (
    <div style={{ overflow: 'hidden', height: '100%' }}>
      {list.map((alert, index) => (
        <div
          key={index}
          style={{
            padding: 6,
            marginBottom: 4,
            background: theme.colors.background.secondary,
            borderLeft: `3px solid ${alert.state === 'firing' ? theme.colors.error.main : theme.colors.warning.main}`,
          }}
        >
          {alert.labels.alertname} <span style={{ color: theme.colors.text.secondary }}>{alert.state}</span>
        </div>
      ))}
    </div>
  );
}

interface VisualisationProps {
  panel: any;
  frames: DataFrame[];
  width: number;
  height: number;
}

function Visualisation({ panel, frames, width, height }: VisualisationProps) {
  const { range, theme, annotations } = useContext(DashboardContext);
  const options = panel.options ?? {};
  const plot = { width, height, range, theme };
  const series = { frames, structureRev: 1, width, height, timeRange: range, timeZone: TIME_ZONE, options };
  switch (panel.type) {
    case 'timeseries': {
      const legend = { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [], ...options.legend };
      return (
        <TimeSeries {...series} legend={legend}>
          {(builder: any) => <AnnotationMarks builder={builder} annotations={annotations} theme={theme} />}
        </TimeSeries>
      );
    }
    case 'trend': {
      // Like Grafana's trend panel: a time series with the first number as horizontal axis.
      const x = frames[0].fields.find((field) => field.type === FieldType.number);
      const first = (field: Field) => field === x;
      return (
        <TimeSeries
          {...series}
          legend={{ calcs: [], ...options.legend }}
          preparePlotFrame={(given: DataFrame[], dimensions: any) => preparePlotFrame(given, { ...dimensions, x: first })}
        />
      );
    }
    case 'xychart':
      return <XYChart {...plot} frame={frames[0]} />;
    case 'heatmap':
      return <Heatmap {...plot} frames={frames} options={options} />;
    case 'state-timeline':
      return <StateTimeline {...plot} frames={frames} options={options} />;
    case 'table':
      return (
        <TableNG
          data={frames[0]}
          width={width}
          height={height}
          timeRange={range}
          noHeader={options.showHeader === false}
          cellHeight={options.cellHeight}
          fieldConfig={panel.fieldConfig}
          sortBy={options.sortBy}
          enableVirtualization={false}
          {...({} as any)}
        />
      );
    case 'stat':
    case 'bargauge':
      return <SingleValues panel={panel} frames={frames} width={width} height={height} />;
    default:
      throw new Error(`the preview does not support panels of type ${panel.type}`);
  }
}

function orientationOf({ panel, width, height }: Pick<VisualisationProps, 'panel' | 'width' | 'height'>): VizOrientation {
  const configured = panel.options?.orientation;
  if (configured === 'horizontal' || configured === 'vertical') {
    return configured as VizOrientation;
  }
  if (panel.type === 'bargauge') {
    return VizOrientation.Horizontal;
  }
  return width > height ? VizOrientation.Vertical : VizOrientation.Horizontal;
}

function SingleValues({ panel, frames, width, height }: VisualisationProps) {
  const { variables, theme } = useContext(DashboardContext);
  const options = panel.options ?? {};
  const orientation = orientationOf({ panel, width, height });
  const values = getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: { calcs: ['lastNotNull'], ...options.reduceOptions },
    replaceVariables: (text) => interpolate(text ?? '', variables),
    theme,
    data: frames,
    sparkline: panel.type === 'stat' && options.graphMode !== 'none',
    timeZone: TIME_ZONE,
  });
  const numbers = values.map((value) => value.display.numeric).filter(Number.isFinite);
  const render = ({ value, width, height, alignmentFactors, count }: any) =>
    panel.type === 'stat' ? (
      <BigValue
        value={value.display}
        count={count}
        sparkline={value.sparkline}
        colorMode={options.colorMode ?? 'value'}
        graphMode={options.graphMode ?? 'area'}
        justifyMode={options.justifyMode ?? 'auto'}
        textMode={options.textMode ?? 'auto'}
        alignmentFactors={alignmentFactors}
        text={options.text}
        width={width}
        height={height}
        theme={theme}
        disableWideLayout={options.wideLayout === false}
        {...({} as any)}
      />
    ) : (
      <BarGauge
        value={value.display}
        width={width}
        height={height}
        orientation={orientation}
        field={{
          ...value.field,
          min: value.field.min ?? Math.min(0, ...numbers),
          max: value.field.max ?? Math.max(...numbers),
        }}
        text={options.text}
        display={value.view?.getFieldDisplayProcessor(value.colIndex)}
        theme={theme}
        itemSpacing={8}
        displayMode={options.displayMode ?? 'gradient'}
        alignmentFactors={alignmentFactors}
        showUnfilled={options.showUnfilled !== false}
        valueDisplayMode={options.valueMode}
        namePlacement={options.namePlacement}
        lcdCellWidth={12}
      />
    );
  return (
    <VizRepeater
      getValues={() => values}
      getAlignmentFactors={getDisplayValueAlignmentFactors as any}
      renderValue={render}
      source={frames as any}
      width={width}
      height={height}
      itemSpacing={3}
      renderCounter={0}
      autoGrid
      orientation={orientation}
    />
  );
}
