import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const emptyModule = fileURLToPath(new URL('./src/empty-module.ts', import.meta.url));

export default defineConfig({
  esbuild: { jsx: 'automatic' },
  define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}' },
  resolve: {
    // A single copy of each, so that contexts and registries are shared.
    dedupe: ['react', 'react-dom', '@grafana/data', '@grafana/schema', 'rxjs'],
    // The code editor is half of the bundle, and no dashboard uses it.
    alias: [
      { find: /^monaco-editor(\/.*)?$/, replacement: emptyModule },
      { find: '@monaco-editor/react', replacement: emptyModule },
    ],
  },
  build: { chunkSizeWarningLimit: 9000, minify: false },
});
