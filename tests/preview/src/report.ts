// State of each panel, read by the tests and by the screenshot script.
export interface PanelReport {
  title: string;
  type: string;
  status: 'loading' | 'ok' | 'empty' | 'error';
  error?: string;
}

export const report: Record<string, PanelReport> = {};
export const warnings: string[] = [];

declare global {
  interface Window {
    previewReport: typeof report;
    previewWarnings: typeof warnings;
    previewExpected: number;
    previewDashboard: any;
  }
}

window.previewReport = report;
window.previewWarnings = warnings;
