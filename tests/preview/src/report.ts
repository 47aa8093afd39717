// What became of each panel: read by the test and by the script that takes the pictures.
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
