import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

// Where `make dev` has the web process listen.
const FLASK = `http://127.0.0.1:${process.env["PORT"] ?? 8000}`;

// With the host that the browser asked for: the server refuses what seems to come from another origin.
const proxied = { target: FLASK, changeOrigin: false };

/** Lays a .gz beside each asset, as neither gunicorn nor Heroku's router compresses. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    writeBundle({ dir = "dist" }) {
      const folder = join(dir, "assets");
      for (const name of readdirSync(folder).filter((name) => /\.(js|css)$/.test(name)))
        writeFileSync(join(folder, `${name}.gz`), gzipSync(readFileSync(join(folder, name)), { level: 9 }));
    },
  };
}

export default defineConfig({
  plugins: [react(), tailwindcss(), compressed()],
  worker: { format: "es" },
  // Nothing as a data: address: the page's policy allows images only from the server.
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: Object.fromEntries(["/api", "/static", "/docs", "/openapi.json"].map((path) => [path, proxied])) },
});
