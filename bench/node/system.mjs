// What the adapters share.
import { readFileSync } from "node:fs";

// Unable is the error for what a system does not have.
export class Unable extends Error {}

// version names an installed package with its version, and Node's.
export function version(name) {
  const file = new URL(`node_modules/${name}/package.json`, import.meta.url);
  return `${name} ${JSON.parse(readFileSync(file)).version} on Node ${process.version}`;
}
