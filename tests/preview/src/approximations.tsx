// Approximations of heatmap, state timeline, XY chart and annotations, which @grafana/ui does not export.
import { useLayoutEffect, useMemo } from 'react';
import { DataFrame, Field, FieldType, formattedValueToString, getValueFormat, GrafanaTheme2, TimeRange } from '@grafana/data';
import { measureText, UPlotChart, UPlotConfigBuilder } from '@grafana/ui';
import { interpolateOranges, interpolateSpectral, interpolateViridis } from 'd3-scale-chromatic';
import { Annotation } from './prometheus';

const TIME_ZONE = 'utc';

interface Plot {
  width: number;
  height: number;
  range: TimeRange;
  theme: GrafanaTheme2;
}

interface CellPlotProps extends Plot {
  times: number[];
  rowLabels: string[];
  draw: (plot: any) => void;
}

// A plot with a time axis and numbered rows; `draw` fills the cells.
function CellPlot({ width, height, range, theme, times, rowLabels, draw }: CellPlotProps) {
  const config = useMemo(() => {
    const builder: any = new UPlotConfigBuilder(TIME_ZONE as any);
    const timeSpan = () => [range.from.valueOf(), range.to.valueOf()];
    const rowSpan = () => [-0.5, rowLabels.length - 0.5];
    builder.addScale({ scaleKey: 'x', isTime: true, orientation: 0, direction: 1, range: timeSpan });
    builder.addScale({ scaleKey: 'y', isTime: false, orientation: 1, direction: 1, range: rowSpan });
    builder.addAxis({ placement: 'bottom', scaleKey: 'x', isTime: true, timeZone: TIME_ZONE, theme, grid: { show: false } });
    builder.addAxis({
      placement: 'left',
      scaleKey: 'y',
      theme,
      size: 16 + Math.max(...rowLabels.map((label) => measureText(label, 12).width)),
      grid: { show: false },
      splits: rowLabels.map((_, row) => row),
      values: (_plot: any, rows: number[]) => rows.map((row) => rowLabels[row] ?? ''),
    });
    builder.addSeries({
      scaleKey: 'y',
      theme,
      lineWidth: 0,
      show: true,
      pathBuilder: () => null,
      pointsBuilder: () => false,
    });
    builder.addHook('draw', draw);
    return builder;
  }, [width, height, draw]);
  const data: any = [times, times.map(() => 0)];
  return <UPlotChart config={config} data={data} width={width} height={height} timeRange={range as any} {...({} as any)} />;
}

function colourScheme(name: string | undefined): (share: number) => string {
  const schemes: Record<string, (share: number) => string> = {
    spectral: (share) => interpolateSpectral(1 - share),
    oranges: interpolateOranges,
  };
  return schemes[name?.toLowerCase() ?? ''] ?? interpolateViridis;
}

export function Heatmap({ frames, options, ...plot }: Plot & { frames: DataFrame[]; options: any }) {
  const [time, ...buckets] = frames[0].fields;
  const step = time.config.interval ?? 15000;
  const format = getValueFormat(options.yAxis?.unit ?? 'short');
  const labels = buckets.map((bucket) =>
    bucket.name === '+Inf' ? '+Inf' : formattedValueToString(format(Number(bucket.name), options.yAxis?.decimals))
  );
  const each = Math.ceil(labels.length / Math.max(2, Math.floor(plot.height / 28)));
  const largest = Math.max(...buckets.flatMap((bucket) => bucket.values as number[]));
  const { scheme, steps = 64, exponent = 0.5 } = options.color ?? {};
  const colour = colourScheme(scheme);
  const draw = (u: any) => {
    u.ctx.save();
    buckets.forEach((bucket, row) =>
      (bucket.values as number[]).forEach((count, i) => {
        const right = u.valToPos(time.values[i], 'x', true);
        if (!(count > (options.filterValues?.le ?? 1e-9)) || right <= u.bbox.left) {
          return;
        }
        const left = Math.max(u.bbox.left, u.valToPos(time.values[i] - step, 'x', true));
        const top = u.valToPos(row + 0.5, 'y', true);
        const bottom = u.valToPos(row - 0.5, 'y', true);
        u.ctx.fillStyle = colour(Math.round(Math.pow(count / largest, exponent) * (steps - 1)) / (steps - 1));
        u.ctx.fillRect(left, top, Math.max(1, right - left), Math.max(1, bottom - top));
      })
    );
    u.ctx.restore();
  };
  const shown = labels.map((label, row) => (row % each === 0 ? label : ''));
  return <CellPlot {...plot} times={[...(time.values as number[])]} rowLabels={shown} draw={draw} />;
}

export function StateTimeline({ frames, options, ...plot }: Plot & { frames: DataFrame[]; options: any }) {
  const rows = frames.flatMap((frame) =>
    frame.fields
      .filter((field) => field.type !== FieldType.time)
      .map((field) => ({
        name: field.config.displayNameFromDS ?? field.name,
        field,
        times: frame.fields[0].values as number[],
        step: frame.fields[0].config.interval ?? 15000,
      }))
  );
  const draw = (u: any) => {
    const context = u.ctx;
    context.save();
    context.font = `${12 * devicePixelRatio}px Inter, sans-serif`;
    context.textBaseline = 'middle';
    context.textAlign = 'left';
    rows.forEach(({ field, times, step }, index) => {
      const half = (options.rowHeight ?? 0.9) / 2;
      const top = u.valToPos(rows.length - 1 - index + half, 'y', true);
      const bottom = u.valToPos(rows.length - 1 - index - half, 'y', true);
      for (let first = 0, last; first < times.length; first = last + 1) {
        last = first;
        // A band ends where the value changes or samples are missing.
        while (
          last + 1 < times.length &&
          field.values[last + 1] === field.values[first] &&
          times[last + 1] - times[last] <= 1.5 * step
        ) {
          last += 1;
        }
        if (field.values[first] === null) {
          continue;
        }
        const { color, text } = field.display!(field.values[first]);
        const left = Math.max(u.bbox.left, u.valToPos(times[first], 'x', true));
        const right = u.valToPos(Math.min(plot.range.to.valueOf(), times[last] + step), 'x', true);
        context.globalAlpha = (field.config.custom?.fillOpacity ?? 70) / 100;
        context.fillStyle = color;
        context.fillRect(left, top, right - left, bottom - top);
        context.globalAlpha = 1;
        if (options.showValue !== 'never' && context.measureText(text).width < right - left - 8) {
          context.fillStyle = plot.theme.colors.getContrastText(color!);
          context.fillText(text, left + 6, (top + bottom) / 2);
        }
      }
    });
    context.restore();
  };
  const names = rows.map((row) => row.name).reverse();
  return <CellPlot {...plot} times={rows[0]?.times ?? [0]} rowLabels={names} draw={draw} />;
}

// XY chart of the first two numeric fields in row order.
export function XYChart({ width, height, range, theme, frame }: Plot & { frame: DataFrame }) {
  const [horizontal, vertical] = frame.fields.filter((field) => field.type === FieldType.number);
  const points = horizontal.values
    .map((x: number, row: number) => [x, vertical.values[row]])
    .filter(([x, y]: number[]) => x !== null && y !== null);
  const config = useMemo(() => {
    const builder: any = new UPlotConfigBuilder(TIME_ZONE as any);
    const span = (field: Field, place: number) => () => {
      const values = points.map((point: number[]) => point[place]);
      const { axisSoftMin = Infinity, axisSoftMax = -Infinity } = field.config.custom ?? {};
      const [minimum, maximum] = [Math.min(axisSoftMin, ...values), Math.max(axisSoftMax, ...values)];
      const padding = (maximum - minimum || Math.abs(maximum) || 1) / 20;
      return [field.config.min ?? minimum - padding, field.config.max ?? maximum + padding];
    };
    [
      { scaleKey: 'x', field: horizontal, placement: 'bottom', orientation: 0 },
      { scaleKey: 'y', field: vertical, placement: 'left', orientation: 1 },
    ].forEach(({ scaleKey, field, placement, orientation }, place) => {
      builder.addScale({ scaleKey, isTime: false, orientation, direction: 1, range: span(field, place) });
      const formatValue = (value: number) => formattedValueToString(field.display!(value));
      builder.addAxis({ placement, scaleKey, theme, label: field.config.custom?.axisLabel, formatValue });
    });
    builder.addSeries({ scaleKey: 'y', theme, lineWidth: 0, show: true, pathBuilder: () => null, pointsBuilder: () => false });
    builder.addHook('draw', (u: any) => {
      const context = u.ctx;
      const places = points.map(([x, y]: number[]) => [u.valToPos(x, 'x', true), u.valToPos(y, 'y', true)]);
      context.save();
      context.strokeStyle = context.fillStyle = vertical.display!(0).color;
      context.lineWidth = 2 * devicePixelRatio;
      context.beginPath();
      places.forEach(([x, y]: number[]) => context.lineTo(x, y));
      context.stroke();
      places.forEach(([x, y]: number[]) => {
        context.beginPath();
        context.arc(x, y, 4 * devicePixelRatio, 0, 2 * Math.PI);
        context.fill();
      });
      context.restore();
    });
    return builder;
  }, [width, height]);
  const sorted = points.map(([x]: number[]) => x).sort((a: number, b: number) => a - b);
  const data: any = [sorted, sorted.map(() => 0)];
  return <UPlotChart config={config} data={data} width={width} height={height} timeRange={range as any} {...({} as any)} />;
}

export function AnnotationMarks({ builder, annotations, theme }: { builder: any; annotations: Annotation[]; theme: GrafanaTheme2 }) {
  useLayoutEffect(() => {
    builder.addHook('draw', (u: any) => {
      const context = u.ctx;
      const bottom = u.bbox.top + u.bbox.height;
      context.save();
      for (const { from, colour } of annotations) {
        const x = u.valToPos(from, 'x', true);
        if (x < u.bbox.left) {
          continue;
        }
        context.strokeStyle = context.fillStyle = theme.visualization.getColorByName(colour);
        context.setLineDash([4, 4]);
        context.beginPath();
        context.moveTo(x, u.bbox.top);
        context.lineTo(x, bottom);
        context.stroke();
        context.setLineDash([]);
        context.beginPath();
        context.moveTo(x - 5, bottom + 8);
        context.lineTo(x + 5, bottom + 8);
        context.lineTo(x, bottom);
        context.fill();
      }
      context.restore();
    });
  }, [builder]);
  return null;
}
