import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const nothing = fileURLToPath(new URL('./src/nothing.ts', import.meta.url));

export default defineConfig({
  esbuild: { jsx: 'automatic' },
  define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}' },
  resolve: {
    // One copy of each, or contexts and registries are not shared.
    dedupe: ['react', 'react-dom', '@grafana/data', '@grafana/schema', 'rxjs'],
    // The code editor is half of the bundle, and no dashboard shows one.
    alias: [
      { find: /^monaco-editor(\/.*)?$/, replacement: nothing },
      { find: '@monaco-editor/react', replacement: nothing },
    ],
  },
  build: { chunkSizeWarningLimit: 9000, minify: false },
});
