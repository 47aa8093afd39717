// Validate objects of the Prometheus Operator, a JSON array on standard input, with the schemas of its kinds. Print one
// line per error, and exit with 1 if there is one.
import {readFileSync} from "node:fs";
import {PrometheusRule, ServiceMonitor} from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const KINDS = {PrometheusRule, ServiceMonitor};

// The schemas allow unknown properties, which the API server removes. Validation reads every property that has a schema.
function recorded(value, path, unread) {
  if (value === null || typeof value !== "object") return value;
  const children = {};
  for (const [key, child] of Object.entries(value)) {
    const name = Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`;
    if (!Array.isArray(value)) unread.add(name);
    children[key] = {name, value: recorded(child, name, unread)};
  }
  return new Proxy(value, {
    get(target, key) {
      if (!Object.hasOwn(children, key)) return Reflect.get(target, key);
      unread.delete(children[key].name);
      return children[key].value;
    },
  });
}

let failed = false;
for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  const errors = [];
  const unread = new Set();
  try {
    recorded(new KINDS[object.kind](object), "", unread).validate();
    // Names of labels and annotations are free.
    errors.push(...[...unread].filter((name) => !name.startsWith(".metadata.")).map((name) => `${name} is unknown`));
  } catch (error) {
    errors.push(error.message);
  }
  for (const error of errors) console.log(`${object.kind} ${object.metadata?.name}: ${error}`);
  failed ||= errors.length > 0;
}
process.exit(failed ? 1 : 0);
