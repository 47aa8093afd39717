// Field configuration: units, thresholds, mappings and overrides, applied by Grafana's own processors.
import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  DataFrame,
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  FieldColorModeId,
  GrafanaTheme2,
  identityOverrideProcessor,
  numberOverrideProcessor,
  Registry,
  standardTransformers,
  standardTransformersRegistry,
  stringOverrideProcessor,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
} from '@grafana/data';
import { warnings } from './report';
import { interpolateLink, Variables } from './variables';

const STANDARD: Record<string, any> = {
  unit: unitOverrideProcessor,
  min: numberOverrideProcessor,
  max: numberOverrideProcessor,
  decimals: numberOverrideProcessor,
  displayName: displayNameOverrideProcessor,
  color: identityOverrideProcessor,
  noValue: stringOverrideProcessor,
  links: dataLinksOverrideProcessor,
  actions: identityOverrideProcessor,
  mappings: valueMappingsOverrideProcessor,
  thresholds: thresholdsOverrideProcessor,
  filterable: identityOverrideProcessor,
  fieldMinMax: identityOverrideProcessor,
};

// Defaults of Grafana's panel plugins.
const DEFAULTS: Record<string, any> = {
  timeseries: { color: { mode: FieldColorModeId.PaletteClassic } },
  trend: { color: { mode: FieldColorModeId.PaletteClassic } },
};
const CHART = {
  drawStyle: 'line',
  lineInterpolation: 'linear',
  lineWidth: 1,
  fillOpacity: 0,
  gradientMode: 'none',
  spanNulls: false,
  showPoints: 'auto',
  pointSize: 5,
  axisPlacement: 'auto',
  scaleDistribution: { type: 'linear' },
  stacking: { mode: 'none', group: 'A' },
  thresholdsStyle: { mode: 'off' },
  hideFrom: { tooltip: false, viz: false, legend: false },
};
const CUSTOM_DEFAULTS: Record<string, any> = {
  timeseries: CHART,
  trend: CHART,
  table: { align: 'auto', cellOptions: { type: 'auto' }, inspect: false },
};

export function registerTransformations() {
  const byId = new Map(Object.values(standardTransformers).map((one: any) => [one.id, one]));
  standardTransformersRegistry.setInit(
    () =>
      [...byId.values()].map((one: any) => ({
        id: one.id,
        name: one.name,
        transformation: async () => one,
        editor: null,
        imageDark: '',
        imageLight: '',
      })) as any
  );
}

function customProperties(config: any): string[] {
  const overridden = (config.overrides ?? []).flatMap((one: any) => one.properties.map((property: any) => property.id));
  for (const id of overridden) {
    if (!id.startsWith('custom.') && !(id in STANDARD)) {
      warnings.push(`unknown override property ${id}`);
    }
  }
  const defaults = Object.keys(config.defaults.custom ?? {}).map((name) => `custom.${name}`);
  return [...new Set([...defaults, ...overridden.filter((id: string) => id.startsWith('custom.'))])];
}

function registryFor(config: any) {
  const item = (id: string, process: any, isCustom: boolean) => ({
    id,
    path: isCustom ? id.slice('custom.'.length) : id,
    isCustom,
    name: id,
    process,
    shouldApply: () => true,
    settings: {},
    getItemsCount: undefined,
  });
  return new Registry(
    () =>
      [
        ...Object.entries(STANDARD).map(([id, process]) => item(id, process, false)),
        ...customProperties(config).map((id) => item(id, identityOverrideProcessor, true)),
      ] as any
  ) as any;
}

export function withDefaults(panel: any) {
  const given = panel.fieldConfig ?? {};
  return {
    defaults: {
      ...DEFAULTS[panel.type],
      ...given.defaults,
      custom: { ...CUSTOM_DEFAULTS[panel.type], ...given.defaults?.custom },
    },
    overrides: given.overrides ?? [],
  };
}

export function applyFields(
  frames: DataFrame[],
  fieldConfig: any,
  variables: Variables,
  theme: GrafanaTheme2,
  timeZone: string
) {
  const applied = applyFieldOverrides({
    data: frames,
    fieldConfig,
    replaceVariables: (text: string, scoped?: any) => interpolateLink(text ?? '', variables, scoped),
    theme,
    timeZone,
    fieldConfigRegistry: registryFor(fieldConfig),
  });
  cacheFieldDisplayNames(applied);
  return applied;
}
