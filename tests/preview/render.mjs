// Renders dashboards in Chromium and prints the state of each panel as JSON.
//
//   node render.mjs --prometheus http://127.0.0.1:9090 --out FOLDER [--width 1600] [--scale 1] [--from MS --to MS]
//                  [--scrape-ms 15000] [--var NAME=VALUE]... dashboard.json...
//
// Requires `npm ci` and `npm run build`. Runs without a web server: pages are read from dist/, queries go to Prometheus.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    prometheus: { type: 'string' },
    out: { type: 'string' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
    width: { type: 'string', default: '1600' },
    scale: { type: 'string', default: '1' },
    from: { type: 'string' },
    to: { type: 'string' },
    'scrape-ms': { type: 'string', default: '15000' },
    var: { type: 'string', multiple: true, default: [] },
    'wait-seconds': { type: 'string', default: '60' },
  },
});

const ORIGIN = 'http://preview.invalid';
const DIST = fileURLToPath(new URL('./dist', import.meta.url));
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };

async function fulfill(route) {
  const request = route.request();
  const { pathname, search } = new URL(request.url());
  if (pathname.startsWith('/prometheus/')) {
    const reply = await fetch(options.prometheus + pathname.slice('/prometheus'.length) + search);
    return route.fulfill({ status: reply.status, contentType: 'application/json', body: await reply.text() });
  }
  const file = path.join(DIST, pathname === '/' ? 'index.html' : path.normalize(pathname));
  try {
    return await route.fulfill({ contentType: TYPES[path.extname(file)] ?? 'text/plain', body: await readFile(file) });
  } catch {
    return route.fulfill({ status: 404, body: '' });
  }
}

const isRendered = () => {
  const panels = Object.values(window.previewReport ?? {});
  const failed = window.previewReport?.dashboard !== undefined;
  return failed || (panels.length >= window.previewExpected && panels.every((panel) => panel.status !== 'loading'));
};

async function render(browser, file) {
  const dashboard = JSON.parse(await readFile(file, 'utf-8'));
  // The viewport contains the whole dashboard, because tables render only visible rows.
  const bottom = Math.max(...dashboard.panels.map((panel) => panel.gridPos.y + panel.gridPos.h));
  const page = await browser.newPage({
    viewport: { width: Number(options.width), height: 1080 + 38 * bottom },
    deviceScaleFactor: Number(options.scale),
    timezoneId: 'UTC',
    locale: 'en-US',
  });
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  if (options.to) {
    // Relative times such as "2 minutes ago" refer to the end of the range.
    await page.clock.setFixedTime(Number(options.to));
  }
  await page.route(`${ORIGIN}/**`, fulfill);
  await page.addInitScript((content) => (window.previewDashboard = content), dashboard);
  const query = new URLSearchParams({ scrapeMs: options['scrape-ms'] });
  for (const name of ['from', 'to']) {
    if (options[name]) {
      query.set(name, options[name]);
    }
  }
  for (const assignment of options.var) {
    const [name, ...value] = assignment.split('=');
    query.set(`var-${name}`, value.join('='));
  }
  await page.goto(`${ORIGIN}/?${query}`);
  try {
    await page.waitForFunction(isRendered, null, { timeout: 1000 * Number(options['wait-seconds']) });
  } catch {
    errors.push(`not rendered after ${options['wait-seconds']} s`);
  }
  // Charts are rendered one frame after their data arrives.
  await page.waitForTimeout(500);
  if (options.out) {
    const screenshot = path.join(options.out, `${path.basename(file, '.json')}.png`);
    await page.locator('#dashboard').screenshot({ path: screenshot });
  }
  const [panels, warnings] = await page.evaluate(() => [window.previewReport, window.previewWarnings]);
  const links = await page.$$eval('#dashboard a[href^="http"]', (found) => found.map((one) => one.href));
  const texts = await page.$$eval('[data-panel]', (found) => found.map((one) => [one.dataset.panel, one.innerText]));
  await page.close();
  return { panels, warnings, errors, links: [...new Set(links)], texts: Object.fromEntries(texts) };
}

const browser = await chromium.launch({
  executablePath: options.chromium,
  args: ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none'],
});
try {
  const reports = {};
  for (const file of files) {
    reports[path.basename(file, '.json')] = await render(browser, file);
  }
  console.log(JSON.stringify(reports));
} finally {
  await browser.close();
}
