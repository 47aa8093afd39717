// State shared by all panels of a dashboard.
import { createContext } from 'react';
import { GrafanaTheme2, TimeRange } from '@grafana/data';
import { Annotation } from './prometheus';
import { Variables } from './variables';

export const TIME_ZONE = 'utc';

export interface DashboardState {
  range: TimeRange;
  variables: Variables;
  annotations: Annotation[];
  theme: GrafanaTheme2;
  scrapeMs: number;
}

export const DashboardContext = createContext<DashboardState>(null as never);
