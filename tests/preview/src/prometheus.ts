// Converts responses of the Prometheus HTTP API to data frames, like Grafana's data source and backend.
import { DataFrame, DataFrameType, FieldType, rangeUtil, TimeRange, toDataFrame } from '@grafana/data';
import { interpolate, Variables } from './variables';

export interface QueryContext {
  range: TimeRange;
  variables: Variables;
  width: number;
  scrapeMs: number;
  panelInterval?: string;
}

interface Series {
  metric: Record<string, string>;
  value?: [number, string];
  values?: Array<[number, string]>;
}

export async function queryApi(path: string, parameters: Record<string, string>): Promise<any> {
  const response = await fetch(`/prometheus/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const content = await response.json();
  if (content.status !== 'success') {
    throw new Error(`${content.errorType}: ${content.error}`);
  }
  return content.data;
}

export async function alerts(): Promise<any[]> {
  return (await queryApi('alerts', {})).alerts;
}

function parseNumber(text: string): number {
  return { NaN: NaN, '+Inf': Infinity, '-Inf': -Infinity }[text] ?? Number(text);
}

function seriesPoints(series: Series): Array<[number, string]> {
  return series.values ?? [series.value!];
}

function seriesName(metric: Record<string, string>): string {
  const { __name__ = '', ...labels } = metric;
  const inner = Object.entries(labels).map(([name, value]) => `${name}="${value}"`);
  return inner.length ? `${__name__}{${inner.join(', ')}}` : __name__ || 'Value';
}

function legendText(format: string | undefined, metric: Record<string, string>): string | undefined {
  if (!format) {
    return seriesName(metric);
  }
  return format === '__auto' ? undefined : format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label) => metric[label] ?? '');
}

// Grafana's rules for step and rate window: at least one scrape interval, about one point per pixel, four scrapes per rate.
function timing(target: any, context: QueryContext) {
  const intervals = [context.panelInterval, target.interval].filter(Boolean) as string[];
  const minimumMs = Math.max(
    context.scrapeMs,
    ...intervals.map((text) => rangeUtil.intervalToMs(interpolate(text, context.variables)))
  );
  const { intervalMs, interval } = rangeUtil.calculateInterval(
    context.range,
    Math.max(50, Math.floor(context.width)),
    `${minimumMs}ms`
  );
  const stepMs = Math.max(intervalMs, 1000);
  const rangeMs = context.range.to.valueOf() - context.range.from.valueOf();
  const builtIn = {
    __interval: interval,
    __interval_ms: String(intervalMs),
    __rate_interval: `${Math.max(stepMs + context.scrapeMs, 4 * context.scrapeMs)}ms`,
    __range: `${Math.round(rangeMs / 1000)}s`,
    __range_s: String(Math.round(rangeMs / 1000)),
    __range_ms: String(rangeMs),
  };
  return { stepMs, builtIn };
}

async function fetchSeries(target: any, context: QueryContext): Promise<{ series: Series[]; stepMs: number }> {
  const { stepMs, builtIn } = timing(target, context);
  const query = interpolate(target.expr, context.variables, builtIn);
  const { from, to } = context.range;
  const aligned = (ms: number) => String((Math.floor(ms / stepMs) * stepMs) / 1000);
  const data =
    target.instant && !target.range
      ? await queryApi('query', { query, time: String(to.valueOf() / 1000) })
      : await queryApi('query_range', {
          query,
          start: aligned(from.valueOf()),
          end: aligned(to.valueOf()),
          step: String(stepMs / 1000),
        });
  const series = data.resultType === 'scalar' ? [{ metric: {}, value: data.result }] : data.result;
  return { series, stepMs };
}

function tableFrame(target: any, series: Series[], valueName: string): DataFrame {
  const labels = [...new Set(series.flatMap((one) => Object.keys(one.metric)))].sort();
  const rows = series.flatMap((one) => seriesPoints(one).map((point) => ({ point, metric: one.metric })));
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: rows.map((row) => row.point[0] * 1000) },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        values: rows.map((row) => row.metric[label] ?? ''),
      })),
      { name: valueName, type: FieldType.number, values: rows.map((row) => parseNumber(row.point[1])) },
    ],
  });
}

// Insert nulls where samples are missing, so that lines have gaps.
function withGaps(points: Array<[number, string]>, step: number): Array<[number, string | null]> {
  return points.flatMap((point, i) => {
    const missing = i > 0 && point[0] - points[i - 1][0] > 1.5 * step;
    return missing ? [[points[i - 1][0] + step, null], point] : [point];
  }) as Array<[number, string | null]>;
}

function seriesFrame(target: any, one: Series, stepMs: number): DataFrame {
  const name = legendText(target.legendFormat, one.metric);
  const { __name__, ...labels } = one.metric;
  const points = withGaps(seriesPoints(one), stepMs / 1000);
  return toDataFrame({
    refId: target.refId,
    name,
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map((point) => point[0] * 1000), config: { interval: stepMs } },
      {
        name: 'Value',
        type: FieldType.number,
        labels,
        values: points.map((point) => (point[1] === null ? null : parseNumber(point[1]))),
        config: name ? { displayNameFromDS: name } : {},
      },
    ],
  });
}

// Convert cumulative `le` buckets to counts per bucket.
function heatmapFrame(target: any, frames: DataFrame[], stepMs: number): DataFrame {
  const bound = (frame: DataFrame) => frame.fields[1].labels?.le ?? '0';
  const sorted = [...frames].sort((a, b) => parseNumber(bound(a)) - parseNumber(bound(b)));
  const times = [...new Set(sorted.flatMap((frame) => frame.fields[0].values as number[]))].sort((a, b) => a - b);
  let below = times.map(() => 0);
  const rows = sorted.map((frame) => {
    const at = new Map((frame.fields[0].values as number[]).map((time, i) => [time, frame.fields[1].values[i]]));
    const cumulative = times.map((time) => at.get(time) ?? 0);
    const values = cumulative.map((count, i) => Math.max(0, count - below[i]));
    below = cumulative;
    return { name: bound(frame), type: FieldType.number, values };
  });
  const time = { name: 'Time', type: FieldType.time, values: times, config: { interval: stepMs } };
  return toDataFrame({ refId: target.refId, meta: { type: DataFrameType.HeatmapRows }, fields: [time, ...rows] });
}

// `tables` is the number of targets in table format; the values of a single one are named "Value" without a letter.
export async function runTarget(target: any, context: QueryContext, tables: number): Promise<DataFrame[]> {
  const { series, stepMs } = await fetchSeries(target, context);
  if (target.format === 'table') {
    return [tableFrame(target, series, tables > 1 ? `Value #${target.refId}` : 'Value')];
  }
  const frames = series.map((one) => seriesFrame(target, one, stepMs));
  return target.format === 'heatmap' && frames.length ? [heatmapFrame(target, frames, stepMs)] : frames;
}

export interface Annotation {
  from: number;
  colour: string;
  text: string;
}

// One annotation per contiguous range of samples, like a Grafana region.
export async function runAnnotation(annotation: any, range: TimeRange, variables: Variables): Promise<Annotation[]> {
  const seconds = Math.max(
    rangeUtil.intervalToMs(annotation.step ?? '60s') / 1000,
    (range.to.unix() - range.from.unix()) / 10000
  );
  const data = await queryApi('query_range', {
    query: interpolate(annotation.expr, variables),
    start: String(range.from.unix()),
    end: String(range.to.unix()),
    step: String(seconds),
  });
  return data.result.flatMap((one: Series) =>
    seriesPoints(one)
      .filter(([time], i, points) => i === 0 || time - points[i - 1][0] > 1.5 * seconds)
      .map(([time]) => ({
        from: time * 1000,
        colour: annotation.iconColor,
        text: legendText(annotation.titleFormat, one.metric),
      }))
  );
}
