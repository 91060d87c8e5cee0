import preact from "@preact/preset-vite";
import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  plugins: [preact({ prefreshEnabled: false })],
  build: { outDir: "../app/web", emptyOutDir: true, assetsInlineLimit: 0, modulePreload: { polyfill: false } },
});
