// Reads a JSON list of PromQL expressions, prints the JSON list of those that Prometheus 3's own grammar does not take.
import { readFileSync } from 'node:fs'
import { parser } from '@prometheus-io/lezer-promql'

function parses(expression) {
  let whole = true
  parser.parse(expression).iterate({
    enter: (node) => {
      whole &&= !node.type.isError
    },
  })
  return whole
}

const expressions = JSON.parse(readFileSync(0, 'utf8'))
console.log(JSON.stringify(expressions.filter((expression) => !parses(expression))))
