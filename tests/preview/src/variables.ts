// Dashboard variables: values from Prometheus, and interpolation in queries, titles and links.
import { TimeRange } from '@grafana/data';
import { queryApi } from './prometheus';

export interface Variable {
  value: string | string[];
  all?: string;
}
export type Variables = Record<string, Variable>;

const VARIABLE = /\$(\w+)|\$\{(\w+)(?::(\w+))?\}|\[\[(\w+)\]\]/g;
const OF_DATA = /\$\{__data\.fields\.(\w+)(?::(\w+))?\}|\$\{__value\.raw(?::(\w+))?\}/g;
const LABEL_VALUES = /^label_values\((?:(.+),\s*)?(\w+)\)$/;
const QUERY_RESULT = /^query_result\((.+)\)$/;

// Escaped twice: for the regular expression and for the PromQL string around it.
const escapeForQuery = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\\\$&');

// Fields in a data link refer to the row of the link, by display name.
export function interpolateLink(text: string, variables: Variables, scoped: any): string {
  const { field, frame, rowIndex } = scoped?.__dataContext?.value ?? {};
  const inRow = text.replace(OF_DATA, (whole, name, format, formatOfValue) => {
    const source = name === undefined ? field : frame?.fields.find((one: any) => (one.config.displayName ?? one.name) === name);
    const value = source?.values[rowIndex ?? 0];
    if (value === undefined) {
      return whole;
    }
    return (format ?? formatOfValue) === 'percentencode' ? encodeURIComponent(String(value)) : String(value);
  });
  return interpolate(inRow, variables);
}

const isAll = (value: string | string[]) => (Array.isArray(value) ? value[0] : value) === '$__all';

export function interpolate(text: string, variables: Variables, builtIn: Record<string, string> = {}): string {
  return text.replace(VARIABLE, (whole, plain, braced, _format, bracketed) => {
    const name = plain ?? braced ?? bracketed;
    if (name in builtIn) {
      return builtIn[name];
    }
    const variable = variables[name];
    if (!variable) {
      return whole;
    }
    const { value, all } = variable;
    if (isAll(value)) {
      return all ?? '.*';
    }
    if (!Array.isArray(value)) {
      return value;
    }
    return value.length === 1 ? escapeForQuery(value[0]) : `(${value.map(escapeForQuery).join('|')})`;
  });
}

async function queryValues(definition: any, range: TimeRange, known: Variables): Promise<string[]> {
  const query = interpolate(typeof definition.query === 'string' ? definition.query : definition.query?.query ?? '', known).trim();
  const values = matching(await (labelValues(query, range) ?? queryResult(query, range) ?? []), definition.regex);
  if (!values.length) {
    throw new Error(`variable ${definition.name}: no values of ${query}`);
  }
  return values;
}

function labelValues(query: string, range: TimeRange): Promise<string[]> | undefined {
  const match = LABEL_VALUES.exec(query);
  if (!match) {
    return undefined;
  }
  const [, selector, label] = match;
  const times = { start: String(range.from.unix()), end: String(range.to.unix()) };
  return queryApi(`label/${label}/values`, selector ? { 'match[]': selector, ...times } : times);
}

// One text per series, as in Grafana: name{labels} value time.
async function queryResult(query: string, range: TimeRange): Promise<string[]> {
  const match = QUERY_RESULT.exec(query);
  if (!match) {
    throw new Error(`the preview supports only label_values() and query_result(), not ${query}`);
  }
  const { result } = await queryApi('query', { query: match[1], time: String(range.to.unix()) });
  return result.map(({ metric: { __name__: name = '', ...labels }, value: [time, value] }: any) => {
    const text = Object.entries(labels).map(([label, of]) => `${label}="${of}"`);
    return `${name}{${text.join(',')}} ${value} ${1000 * time}`;
  });
}

function matching(values: string[], regex: string | undefined): string[] {
  if (!regex) {
    return values;
  }
  const pattern = new RegExp(regex.slice(1, -1));
  return values.flatMap((value) => pattern.exec(value)?.[1] ?? []);
}

export async function loadVariables(definitions: any[], range: TimeRange): Promise<Variables> {
  const variables: Variables = {};
  for (const definition of definitions) {
    const current = definition.current?.value;
    if (definition.type === 'query') {
      const values = await queryValues(definition, range, variables);
      variables[definition.name] = {
        value: current ?? (definition.includeAll ? '$__all' : values[0]),
        all: definition.allValue || `(${values.map(escapeForQuery).join('|')})`,
      };
    } else {
      variables[definition.name] = { value: current ?? definition.query ?? '' };
    }
  }
  return variables;
}
